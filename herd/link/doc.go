// Package link is the protocol between two neighbors, and the state that each keeps of the other. It is pure:
// a machine (Outbound, Inbound, Legacy) takes a line and the time, and returns lines to write and events that
// happened. It has no connection, log or counter, and starts no timers. Those belong to its owner in package herd.
//
// An edge is two one-way links. On the connection that a server dials it sends its feed; on the connection that
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
// testdata/transcripts/link has a transcript of each case.
//
// # Lifetimes
//
//	Sent       how much of our feed the neighbor has       as long as the server
//	Heard      how much of the neighbor's feed we have     as long as the server
//	Outbound   a connection that we dialed                 from its first line to its loss
//	Inbound    a connection that the neighbor dialed       likewise
//	Legacy     what a neighbor without a handshake is      one copy and what is new after it
//	           sent
//
// The state of a connection is never reset: a new connection has new state. The invariants are documented on
// the types. Only two methods combine Sent and Heard, and both only if the process that we send to is the one that we
// receive from: a MARK contains our position in the neighbor's feed (Heard.seqOf), and states are compared while records
// are on their way (Heard.compare).
//
// # Owners
//
// Types in lower case are in package herd. What is indented belongs to the type above it.
//
//	neighbor            a server with which this one shares an edge
//	  Heard
//	  outbound          the link that is dialed
//	    Sent
//	    linkSender      one connection
//	      Outbound      uses Sent and Heard
//	    legacySender    instead of a linkSender, to a legacy neighbor
//	      Legacy
//	session             a connection that was accepted
//	  inbound           from HELLO on; listed in its neighbor once it has joined
//	    Inbound         uses Heard once it has joined
//
// # States of an Outbound
//
//	Greeting --WELCOME with a valid MAC--> Copying --ACK of the tail at WELCOME--> Live
//	    |                                     |                                     |
//	    +-------------------------------------+-------- Closed event, Close --------+--> Ended
//
// If everything up to the tail was acknowledged at WELCOME, Pump changes Copying to Live without an ACK. Refused,
// UnknownAnswer and TimedOut do not change the state: it is Greeting until the owner calls Close.
//
// # States of an Inbound
//
//	HELLO --Refusal--> REFUSE, ended
//	HELLO --Challenge--> waits for PROOF --ProofRejected--> REFUSE, ended
//	                                     --Proven--> Join, Welcome --> takes AT and MARK
//	                                            \--> REFUSE duplicate, ended
//	takes AT and MARK --another connection joins--> takes AT, ignores MARK. After DeadAfter it is pinged:
//	                                                its owner closes it if it answers
//
// # A lost ACK
//
// Under traffic the ACK of a later MARK covers it, and nothing is dropped. Otherwise see ackTimeout: the MARK stays
// unacknowledged though PINGs are answered, and at the first beat more than AckAfter after the PONG the connection is
// dropped. The next WELCOME contains the neighbor's actual position, and the feed continues there.
//
// # Time
//
// All deadlines are on the steady clock of Time, which is never set. Deadline returns the earliest one. The owner
// keeps one timer for each connection, re-arms it only if the deadline has become earlier, and calls Tick when it
// fires. Tick does what is due, if anything, so calling it early or late is harmless.
//
// A beat is a check of the connection every 500 ms (Beat). Silence is counted in beats, not as the time since the
// last line: a process that was stopped for a minute counts one beat when it continues.
package link
