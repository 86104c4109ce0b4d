// Package herd is one server of a herd: a process that keeps the latest location of every client
// of all servers, answers its own clients from it, and passes on what is new.
//
// # The way of one line
//
// The reactor passes a chunk of bytes to a session. Once the first bytes of the connection have shown that it is
// a client or a neighbor (protocol.Open), its LineReceiver splits them into lines. The session parses a line,
// applies the record to the Store of package feed, and appends the reply to the connection's output buffer.
// At the end of the batch of events, each link sends its neighbor what is new in the Store. A WHATSAT leaves the
// loop for a worker goroutine. Its result comes back as a posted call, which fills the reply's slot among the
// session's replies. All state belongs to the loop and needs no lock. The list of posted calls has one, because other
// goroutines append to it.
//
// # One mechanism
//
// Flooding, resuming after a lost connection, and copying everything to a server that starts empty are one
// mechanism. A Store links its records in the order in which it applied them: the feed. A record that is applied
// again moves to the tail, so the feed is a compacted log, never longer than the number of clients. Each
// follower has a Cursor in it. A follower that lags costs nothing: a client that moves a thousand times
// meanwhile is still one record ahead of it.
//
// A link is a follower. It keeps two positions: what it has sent on its connection, and what the neighbor has
// acknowledged. The next connection starts at the acknowledged position, or later if WELCOME says so, or at the
// head if it cannot be a resume. Flooding is a cursor near the tail, a resume is one that was left behind, and a
// copy is one at the head.
//
// The journal is a follower, too, of which the other end is a disk: it passes batches to the disk, and advances
// its second position when the disk has written them. While the disk stalls, the feed is the queue. When records
// that were on the disk are lost, both of its cursors go back to the head.
//
// A bridge is a follower whose other end is a bucket that several herds share, each a cell. It is also a source of
// records, as a neighbor is: what the bucket shows is applied by the same rule, as far as the mode allows. See bridge
// and BucketMode. In mode ask a WHATSAT reads single entries of the bucket, which are not stored. See asks.
//
// # Between servers
//
// Each server dials each of its neighbors and sends on that connection, so that an edge is two
// one-way links. All lines end in CRLF. The dialer sends
//
//	HELLO herd/1 <herd> <from> <to> <epoch> <nonce>    first
//	PROOF <mac>                                        after CHALLENGE
//	AT <origin> <diff> <client> <coords> <time> <sender>
//	MARK <seq> <tail> <heard> <count> <digest>         after AT lines, or alone: see below
//
// and the acceptor sends
//
//	CHALLENGE <nonce>                                  or REFUSE <reason>
//	WELCOME <epoch> <mac> <since-epoch> <since-seq>    or REFUSE proof, REFUSE duplicate
//	ACK <seq>                                          after a MARK, when its records are applied
//
// and either side sends PING <clock>, answered with PONG <clock>: the sender's clock in microseconds. The
// acceptor sends a PING of its own after that PONG, from which the dialer measures how far its clock is ahead, see
// link.Skew. An epoch identifies one process, a seq is a position in the feed of the dialer. Until the proof is valid
// nothing changes on either side. After it AT lines of any origin are accepted: herd.toml is not changed
// everywhere at once, and the records of a server outlive it.
//
// WELCOME asks for the feed after since-seq, the last MARK that the acceptor has from the dialer's process.
// since-epoch is the dialer's epoch. "- 0" asks for everything: the acceptor has no MARK of this process, or a
// repair begins. since-epoch is "-" only with since-seq 0.
//
// A MARK says: every record up to seq was sent to you or came from you; my feed ends at tail; of your feed I have
// applied everything up to heard; my whole state, up to tail, has count records and this digest. heard is "-" if
// the sender has no position in the feed of the receiver's process. The digest is "full" if the sender has dropped
// records because of max_clients. The receiver compares the states only if seq is tail and neither server is full. If
// heard is the end of its own feed, both must have the same records. If it is not, the receiver takes back what the sender
// had not received yet, and a difference counts only if that is certain: see link.Heard.compare. Then both sides send each
// other everything: a repair.
//
// A pump sends what is new to all neighbors: at once, or [pump_pause] after the last one that sent records. So under load
// many updates share a write, a MARK and the neighbor's wake-up. A copy and a shutdown do not pause.
//
// A MARK follows each batch of AT lines. It is also sent alone: 5 s after the last MARK; 1 s after more of the
// neighbor's feed was applied; 1 s after the position advanced without an AT line, in a copy or a shutdown at once.
//
// # Legacy neighbors
//
// With handshake = "optional" a neighbor may be legacy: a server as the paper describes it, which knows none of
// that. A neighbor that answers HELLO as an unknown command, with or without LF, or not within 2 s, or that ends two
// connections in a row without an answer, is sent AT lines without a handshake: everything once on each
// connection or, with legacy = "close-after-write", one line on each. AT lines without a handshake are accepted from a
// neighbor's address, also with several senders, and without LF at the end if the last sender's name is complete.
// What such a neighbor has passed on with its own name and clock is a duplicate: see feed.Store.ApplyLegacy. It
// has fewer guarantees: nothing is acknowledged, compared or repaired, and silence is not noticed. See
// legacySender and legacyInbound.
//
// # Further rules
//
// Records are totally ordered, in the same way on every server (protocol.Record.Compare), and the greatest record
// of a client wins. So order of arrival, repetition and replay do not matter.
//
// A record is not sent back to the process that it came from. The process, not the name: after a restart a
// server no longer has what it once sent.
//
// A newer connection replaces an older one of the same neighbor. What the older one still delivers is applied, but
// its MARKs no longer count. If the process behind the older one still answers a PING, that connection is closed, so
// that it dials again. If it is a different process from the newer connection's, there is a duplicate of the name.
//
// If two processes use one name, the one that our link finds at the address in herd.toml is the neighbor, and
// the other one is refused while the link is up. While the link is down, an unknown process replaces the last one
// at once, as after a restart. A former process, one that was replaced, is refused while the last one is connected
// to us. After that it is accepted again, but not twice within a pause. See link.Heard.Admit.
//
// # What ends each state
//
// A link without progress, for whatever reason, is dropped and dialed again. Names in brackets are those of
// Constants. State plain, as Status has it, is a link to a legacy neighbor. [dead_after] and [ack_after] are checked
// at each beat, every 500 ms, so the link is dropped up to 500 ms after them.
//
//	the dialer's side
//	down                            dialed after [min_retry] to [max_retry], plus or minus a half, or at
//	                                once when the neighbor completes a handshake with us. Refused is
//	                                down, too
//	dialling                        [dial_timeout]
//	greeting                        [handshake_timeout]
//	copying, live                   nothing is received for [dead_after]
//	  MARKs are not acknowledged    [ack_after] from the PONG that they have been read, whether the
//	                                window is full or not
//	  nothing can be written        [link_unread], or [dead_after] on the other side
//	plain                           when the connection ends. Given up when the neighbor completes a
//	                                handshake with us or, if it never answered, when it sends a line
//	probe                           [handshake_timeout]; again after [min_probe] to [max_probe]
//
//	the acceptor's side
//	no HELLO yet                    as a client: idle_timeout. Beyond max_connections [handshake_timeout]
//	HELLO, no PROOF                 [handshake_timeout]
//	refused                         closed after REFUSE; [linger]
//	proven                          nothing is received for [dead_after]
//	  it does not read              [link_unread]
//	  another one is current        pinged after [dead_after], once: closed if it answers
//	  none is current               pinged at once: closed if it answers
//	  our link leads to another     pinged at once: closed if it answers, and refused while the link
//	  process                       is up
//	  EOF, or closed for a repair   [linger], or [dead_after]
//	legacy AT lines                 as a client: idle_timeout
//
// # Shutdown
//
// A server that stops closes its listener, answers the lines that it has read, and hands its feed over: to each
// neighbor whose link is up, and to those that one more dial and handshake reach. It exits when all of them have
// acknowledged its tail, and after the drain time at the latest, whatever the state of a link. A neighbor
// that crashes meanwhile is dialed again until then, while there are records that no neighbor has. See Server.stop.
//
// # A new command for clients
//
// It is added to protocol/command.go (verb, fields, Parse, AppendLine), to protocol/reply.go (an Append method for
// its reply, and the help), to session.command in session.go, to Counters in status.go, and to the table of commands
// in README.md.
//
// # Reading order
//
// Package config is herd.toml, and package feed keeps the state. opening.go detects what a connection is. session.go
// answers a client, as far as its token allows that (tokens.go), within limits.go, for one address, token or client id
// quotas.go and, for the memory of all clients together, memory.go; prefetch.go reads ahead what a chunk of lines needs of
// the store. lookups.go sends a client's WHATSATs to the places provider, in the order of
// turns.go, and ask.go asks the bucket before that. pump.go decides when outbound.go and linksender.go send the feed, and
// inbound.go receives one, with the protocol of package link. legacysender.go, probe.go and legacyinbound.go serve legacy
// neighbors. neighbor.go joins both directions of an edge, and claims.go detects duplicates of its name. journal.go is
// the follower with a disk, and bridge.go the one with a bucket, whose walks of the feed are in bridgewalk.go. drain.go is
// the shutdown, and linkdrain.go a link's part of it. state.go is what all of these share, and server.go is the rest.
package herd
