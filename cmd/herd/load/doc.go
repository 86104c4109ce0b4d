// Package load puts a load on servers of a herd and says how they bore it.
//
// The loader is made of the same reactor as the servers, one loop for each thread, and so costs about
// what reading and writing cost. It is closed (each connection has so many lines in flight and sends
// the next when a reply comes) or open (lines are due at a fixed rate, whatever the servers do). Open
// loops take the time of a reply from the moment at which its line was due, not from the moment at
// which it could be sent: a server that stalls for a second has kept everyone waiting who would
// have come in that second. What was measured from the moment of sending stands beside it.
//
// Every reply is compared with its line. One that is refused, or is another line's, is an error.
//
// Each IAMAT is new to its server: all updates of a client come by one connection, in the order of their
// times. Were they to come by any, the slower connections would tell what is known better already, and
// a server stores and passes on nothing of that. Where there are fewer clients than connections, or
// Zipf has everybody update the same few, it is so.
//
// A run repeats from Seed and Epoch: the same lines on the same connections. When they are sent is up
// to the servers.
package load
