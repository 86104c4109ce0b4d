// Package herd is one server of a herd: a process that keeps the latest location of every client
// of all servers, answers its own clients from it, and passes on what is new.
//
// # The way of one line
//
// The reactor hands a chunk of bytes to a session. Once the connection's first bytes have told that a
// client or a neighbor is there (protocol.Open), its LineReceiver cuts them into lines. The session
// parses a line, offers the record to the Store of package feed, and appends the reply to the connection's
// out-buffer; when the batch of events is done, the links pump what the Store has gained to the
// neighbors. A WHATSAT leaves the loop for a worker and comes home as a posted call that fills its
// place among the session's replies. Nothing else moves state, nothing runs beside the loop, and so
// there is no lock.
//
// # One mechanism
//
// Flooding, resuming after a cut, and copying everything to a server that starts empty are one
// mechanism. A Store links its records in the order in which it applied them: the feed. A record
// that is applied again moves to the tail, so the feed is a compacted log, never longer than there
// are clients. Whoever wants to follow owns a Cursor in it. A follower that lags costs nothing: a
// client that moves a thousand times meanwhile is still one record ahead of it.
//
// A link is such a follower. It keeps two places: what it has sent on its connection, and what
// the neighbor has acknowledged. When the connection is lost, the first goes back to the second.
// Flooding is a cursor near the tail, a resume one that was left behind, a copy one at the head.
//
// The journal is such a follower, too, with a disk at its end: it gives the disk a batch, and counts
// it as written when the disk says so. While the disk stalls, the feed is the queue. When records that
// were on the disk are gone, both of its cursors go back to the head.
//
// # Between servers
//
// Each server dials each of its neighbors and sends on that connection, so that an edge is two
// one-way links. All lines end in CRLF. The dialler says
//
//	HELLO herd/1 <herd> <from> <to> <epoch> <nonce>    first of all
//	PROOF <mac>                                        after CHALLENGE
//	AT <origin> <diff> <client> <coords> <time> <sender>
//	MARK <seq> <tail> <heard> <count> <digest>         after each batch of AT lines
//
// and the acceptor
//
//	CHALLENGE <nonce>                                  or REFUSE <reason>
//	WELCOME <epoch> <mac> <since-epoch> <since-seq>    or REFUSE proof
//	ACK <seq>                                          to a MARK whose lines are all applied
//
// and either PING <clock>, answered with PONG <clock>: the sender's in microseconds. The acceptor sends a
// PING of its own behind that PONG, from which the dialler learns how far its clock is ahead, see skew. An epoch names one process, a seq is a position in
// the feed of the dialler. WELCOME names the last MARK that the acceptor has of this very process,
// or "- 0". Until the proof is right nothing changes on either side. Then AT lines of any origin are
// taken: herd.toml is not changed everywhere at once, and what a server made outlives it.
//
// A MARK says: every record up to seq has been sent to you or came from you; my feed ends at tail;
// of your feed I had applied up to heard; my state then had count records and this digest. Its
// receiver compares the states only when seq is tail and heard is the end of its own feed: then a
// difference is real, and both sides send each other everything.
//
// # Neighbors of the paper's own kind
//
// With handshake = "optional" a neighbor need not know any of that. One that answers HELLO as an
// unknown command, with or without LF, or not within 2 s, or that ends two connections in a row without an
// answer, gets plain AT lines, everything once on each connection or, with
// legacy = "close-after-write", one line on each; and plain AT lines are taken from a neighbor's address,
// also with several senders, and without LF before the end if the last sender's name is complete. What
// such a neighbor has passed on with its own name and clock is a duplicate: see feed.Store.ApplyLegacy. It is
// promised less: nothing is acknowledged, compared or repaired, and silence is not noticed. See
// legacySender and legacyInbound.
//
// # Rules that carry the rest
//
// Records are totally ordered, the same on every server (protocol.Record.Compare), and the
// greatest of a client wins: order of arrival, repetition and replay change nothing.
//
// A record is not sent back to the process that it came from. The process, not the name: a server
// that was restarted knows nothing of what it once sent.
//
// A connection that is newer replaces an older one of the same neighbor; what the older one still
// delivers is applied, but its MARKs no longer count. If the process behind the older one still
// answers a PING, that connection is closed, so that it dials again. If it is another process than
// the newer one's, two processes claim one name.
//
// Of two processes that claim one name, the one that our link finds at the address in herd.toml is
// the neighbor, and the other one is refused while the link stands. While no link stands, it is the
// one that is connected to us, and the other one is an unknown process when that has gone. See
// link.Heard.Admit.
//
// # What ends each state
//
// A link that makes no progress, for whatever reason, comes to an end and is dialed again. Names in
// brackets are those of Constants.
//
//	the dialer's side
//	down                            dialed after [min_retry] to [max_retry], or at once when the
//	                                neighbor proves itself. Refused, for whatever reason, is down
//	dialing                         [dial_timeout]
//	greeting                        [handshake_timeout]
//	copying, live                   nothing arrives for [dead_after]
//	  MARKs are not acknowledged    [ack_after] from the PONG that they have been read, whether the
//	                                window is full or not
//	  nothing can be written        [link_unread], or [dead_after] on the other side
//	plain                           when the connection ends: nothing is promised. Given up when the
//	                                neighbor proves itself, and if it never answered, when it speaks
//	probe                           [handshake_timeout]; again after [min_probe] to [max_probe]
//
//	the acceptor's side
//	no HELLO yet                    a client's: idle_timeout. Beyond max_connections [handshake_timeout]
//	HELLO, no PROOF                 [handshake_timeout]
//	refused                         closed behind REFUSE; [linger]
//	proven                          nothing arrives for [dead_after]
//	  it does not read              [link_unread]
//	  another one is current        asked after [dead_after], once: closed if it answers
//	  none is current               asked at once: closed if it answers
//	  our link leads to another     asked at once: closed if it answers, and refused while the link
//	  process                       stands
//	  EOF, or closed for a repair   [linger], or [dead_after]
//	plain lines                     a client's: idle_timeout
//
// # A stop
//
// A server that stops closes its listener, answers the lines that it has read, and hands its feed
// over: to each neighbor whose link is up, and to those that one more dial and handshake find. It
// leaves when all of them have acknowledged its tail, and after the drain time at the latest,
// whatever state a link is in. A neighbor that crashes meanwhile is dialed again until then, while
// there are records that no neighbor took. See Server.stop.
//
// # Reading order
//
// Package config is herd.toml, and package feed keeps the state. opening.go tells what a connection is;
// session.go answers a client, within limits.go and, of all clients together, memory.go, and lookups.go
// takes its WHATSATs to the places provider, in the order of turns.go; outbound.go and linksender.go send
// the feed and inbound.go takes it, as package link has it; legacysender.go, probe.go and legacyinbound.go
// serve who knows no handshake; neighbor.go holds both ends of an edge together, and claims.go tells
// when two processes have its name; journal.go follows with a disk; drain.go is the way out; server.go
// is the rest.
package herd
