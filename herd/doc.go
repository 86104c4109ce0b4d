// Package herd is one server of a herd: a process that keeps the latest location of every client
// of all servers, answers its own clients from it, and passes on what is new.
//
// # The way of one line
//
// The reactor hands a chunk of bytes to a session, whose LineReceiver cuts it into lines. The
// session parses a line, offers the record to the Store, and appends the reply to the
// connection's out-buffer; when the batch of events is done, the links pump what the Store has
// gained to the neighbors. A WHATSAT leaves the loop for a worker and comes home as a posted call
// that fills its place among the session's replies. Nothing else moves state, nothing runs beside
// the loop, and so there is no lock.
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
// it as written when the disk says so. While the disk stalls, the feed is the queue.
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
// and either PING <n>, answered with PONG <n>. An epoch names one process, a seq is a position in
// the feed of the dialler. WELCOME names the last MARK that the acceptor has of this very process,
// or "- 0". Until the proof is right nothing changes on either side.
//
// A MARK says: every record up to seq has been sent to you or came from you; my feed ends at tail;
// of your feed I had applied up to heard; my state then had count records and this digest. Its
// receiver compares the states only when seq is tail and heard is the end of its own feed: then a
// difference is real, and both sides send each other everything.
//
// # Neighbors of the paper's own kind
//
// With handshake = "optional" a neighbor need not know any of that. One that answers HELLO as an
// unknown command, or not within 2 s, gets plain AT lines, everything once on each connection; and
// plain AT lines are taken from a neighbor's address. Such a neighbor is promised less: nothing is
// acknowledged, compared or repaired, and silence is not noticed. See plainLink and plainIntake.
//
// # Rules that carry the rest
//
// Records are totally ordered, the same on every server (protocol.Record.Compare), and the
// greatest of a client wins: order of arrival, repetition and replay change nothing.
//
// A record is not sent back to the process that it came from. The process, not the name: a server
// that was restarted knows nothing of what it once sent.
//
// A connection that is newer replaces an older one of the same neighbor; what the older one
// still delivers is applied, but its MARKs no longer count. If the older one is of another process,
// and that still answers a PING, two servers run under one name: it is cut off, and refused.
//
// # Reading order
//
// session.go answers a client, within limits.go; store.go and feed.go keep the state; dialler.go
// and link.go send it and intake.go takes it; handshake.go proves who is there; plain.go, probe.go
// and plainintake.go serve who knows no handshake; neighbor.go holds both ends of an edge together;
// journal.go follows with a disk; server.go is the rest.
package herd
