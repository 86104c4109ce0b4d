// Package sim runs whole herds in virtual time: real servers with their stores, sessions and
// links, on memreactor instead of sockets, with everything decided by one seed: the topology, what
// clients send, what happens to the network and to the processes, and when.
//
// A run has two phases. In the first, clients are busy and faults happen; after every event the
// checkers look at what has changed and compare it with a model of their own. In the second, all
// faults end, and the herd must agree: links are live within 9 seconds and 2 seconds later all
// servers hold the same records, none of them older than what any of them held when the faults
// ended. Then, sometimes, one server's state is broken on purpose and has to be mended, and a few
// updates are counted, hop by hop.
//
// The faults are TCP's and those of processes: pieces of any size, delay, stalls, resets, refused
// dials, cuts in both directions or one, slow readers, crashes, orderly stops of one server or of
// many, pauses, clocks that are wrong and jump, a disk that is slow, fails or loses all it had, a
// second process of a server's name that proves itself and leaves or, once in a run, stays. In some herds a server joins or
// leaves, by a rolling change of herd.toml. Nothing is lost or reordered inside a connection that lives.
//
// The checkers, by the names that a Failure carries:
//
//	accepted    every record anywhere was sent by a client, and its fields are the origin's
//	monotone    on one server a client's record is replaced by greater ones only
//	replies     each line gets its one reply, in order
//	returned    no update is sent to the process that it came from
//	positions   who names a place in a neighbor's feed has all of it up to there, and is sent
//	            what follows, not everything
//	false alarm servers that agree are never found to differ
//	buffers     nothing that a slow peer can make grow passes its limit
//	links       links are live in time once faults have ended
//	agreement   then all servers hold the same, and each has measured since that its neighbors do
//	greatest    what they hold is at least what any of them held
//	silence     a link of which nothing arrives is dropped within 8 seconds, by both sides
//	flood       an update costs at most 2E-(N-1) AT lines
//	handover    a server that stops in good order hands everything over to its neighbors
//	journal     what was acknowledged a while before a crash is on the disk
//	panic       no server panics
//
// That the same seed gives the same run, byte for byte, is for the caller to see: Run twice.
//
// A change that must not change what the herd does is checked with -traces FILE, which writes the hash of
// each seed's trace: the files of before and after are equal.
//
// A failing seed is run again, and told in full, by
//
//	go test ./herd/sim -run 'TestSeeds$' -seed N -v
package sim
