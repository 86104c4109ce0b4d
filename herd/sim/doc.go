// Package sim runs whole herds in virtual time: real servers with their stores, sessions and links, on memreactor
// instead of sockets. One seed decides everything: the topology, what clients send, what faults happen, and when.
//
// A run has two phases. In the first, clients send and faults happen; after every event the checkers look at what has
// changed and compare it with a model of their own. In the second, all faults end, and the herd must agree: links are
// live within 9 seconds, and 2 seconds later all servers have the same records, none of them older than what any server
// had when the faults ended. Then, in some runs, one server's state is damaged and must be repaired, and the AT lines of
// a few updates are counted.
//
// The faults are those of TCP and of processes: reads of any size, delay, stalls, resets, refused dials, cuts in one or
// both directions, slow readers, crashes, orderly stops of one or several servers, pauses, wrong and jumping clocks, a
// disk that is slow, fails or loses its content, and a duplicate: a second process with a server's name that completes
// the handshake and leaves or, once in a run, stays. In some herds a server joins or leaves, by a rolling change of
// herd.toml. In every third run clients need a token, which is removed at times. Within an open connection nothing is lost or reordered.
//
// The checkers, by the names in a Failure:
//
//	accepted    every record anywhere was sent by a client, and its other fields are the origin's
//	monotone    on one server a client's record is replaced by greater ones only
//	replies     each line gets its one reply, in order; a WHATSAT is answered with what the server had when it was
//	            sent, or something greater, and in mode ask with what the bucket has
//	returned    no update is sent to the process that it came from
//	positions   a server that names a position in a neighbor's feed has all of the feed up to it, and is sent
//	            what follows, not everything
//	false alarm servers that agree are never found to differ
//	buffers     nothing that a slow peer can make grow exceeds its limit
//	links       links are live in time once faults have ended
//	agreement   then all servers have the same records, and each has since found its neighbors to be in sync
//	greatest    what they have is at least what any of them had when faults ended
//	silence     a link on which nothing arrives is dropped within 8 seconds, by both sides
//	flood       an update costs at most 2E-(N-1) AT lines
//	trace       the tree of an update, as an observer builds it from the flight recorders, says of each server what
//	            was seen there
//	handover    a server that stops in good order hands everything over to its neighbors
//	journal     what was acknowledged a while before a crash is on the disk
//	published   what a server with a bridge stored a while ago is in the bucket
//	foreign     a server stores records of the other herd only in mode share
//	restored    a herd that has lost everything gets back what the bucket has of it
//	echo        no bridge publishes a record that it was shown last, and without faults an update is put once
//	panic       no server panics
//
// RunCells runs two herds that share a bucket, each with one or two bridges. The bucket is absent, full or slow, loses its
// last entries or all of them, ends sessions, passes entries late, again and in another order, and takes what was put
// in a session that is over. Somebody else writes to it, and whole herds crash. Each herd has its own herd.BucketMode. In
// the end the bucket has the greatest record of each client, and so has each herd in mode share; the others have their
// own records.
//
// The caller checks that the same seed gives the same run, byte for byte, by calling Run twice.
//
// To check that a change does not affect what the herd does, compare the files written with -traces FILE before and
// after: it contains the hash of each seed's trace.
//
// A failing seed is run again, with a log of its events, by
//
//	go test ./herd/sim -run 'TestSeeds$' -seed N -v
//
// or with TestCells.
package sim
