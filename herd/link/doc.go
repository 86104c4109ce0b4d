// Package link is what one server says to a neighbor and makes of what it hears. It is pure: a machine
// takes a line and the time, and leaves lines to write and events that happened. It has no connection, no
// timer, no log and no counters; those are its owner's, in package herd.
//
// An edge is two one-way links. On the connection that a server dials it sends its feed; on the one that
// the neighbor dials it receives the neighbor's. Example, > is written by the dialer:
//
//	> HELLO herd/1 ucla Alford Ball e1... 00...      Outbound: Greeting
//	< CHALLENGE 01...
//	> PROOF 5f...
//	< WELCOME b7... 9c... - 0                        Copying: everything follows
//	> AT Alford +0.2 kiwi +34.0-118.4 1520023934 Alford
//	> MARK 1 1 - 1 db400ffcf58eea5a
//	< ACK 1                                          Live
//
// testdata/transcripts/link has a transcript of each thing that may happen.
//
// # What lives how long
//
//	Sent       how far the neighbor has our feed      as long as the server
//	Heard      how far we have the neighbor's feed    as long as the server
//	Outbound   a connection that we dialed            from its first line to its loss
//	Inbound    a connection that the neighbor dialed  likewise
//	Legacy     what a neighbor is sent that knows     one copy and what is new after it
//	           no handshake
//
// Nothing of a connection is ever reset, because nothing of it is used again. The invariants stand at
// the types. One line reads both Sent and Heard, Heard.of: a MARK names what we have of the neighbor's feed
// only if the process that we send to is the one that we heard.
//
// # States of an Outbound
//
//	Greeting --WELCOME, its mac is right--> Copying --ACK of the tail noted at WELCOME--> Live
//	    |                                      |                                           |
//	    +--------------------------------------+----------- Closed event, Close -----------+--> Over
//
// # States of an Inbound
//
//	HELLO --Refusal--> REFUSE, over
//	HELLO --Challenge--> waits for PROOF --Unproven--> REFUSE, over
//	                                     --Proven--> Join, Welcome --> takes AT and MARK
//	                                            \--> REFUSE duplicate, over
//	takes AT and MARK --another connection is joined--> takes AT; its MARKs do not count, and it is asked after
//	                                                    DeadAfter whether it is still there
//
// # A lost ACK
//
// It shows in overdue: the MARK keeps waiting, PINGs are answered, and after AckAfter the connection is
// dropped. The next WELCOME says how far the neighbor really is, and the feed goes on from there.
//
// # Time
//
// Whatever is due goes by the steady clock of Time, which nobody sets. Deadline is when the first of it is: the owner
// keeps one timer for each connection, which it arms anew only if the deadline has come closer, and calls Tick when it
// fires. Tick does what is due, if anything, so it may be called too early or late.
//
// Silence is counted in beats, not as the time since the last line: a process that was stopped for a minute wakes to
// one beat.
package link
