// Package load generates load on the servers of a herd and measures throughput, latency and errors.
//
// The loader uses the same reactor as the servers, one loop per thread, so its overhead is little more than
// reads and writes. A load is a closed loop (each connection has a fixed number of requests in flight and
// sends the next when a reply comes) or an open loop (requests are due at a fixed rate, whatever the
// servers do). An open loop measures latency from the time at which a request was due, not from the time at
// which it could be sent: if a server stalls for a second, all requests due in that second have waited
// (this avoids "coordinated omission"). The latency from the time of sending is reported, too.
//
// Every reply is compared with its request. An error reply, or the reply to another request, is an error.
//
// Each IAMAT is new to its server: all updates of a client use one connection, in the order of their times.
// Otherwise, updates on slower connections would be outdated, and servers neither store nor flood those. If
// there are fewer clients than connections, or with Zipf, some updates are outdated.
//
// The same Seed and Epoch repeat the same requests on the same connections. Their timing depends on the
// servers. Without an Epoch each IAMAT has the time at which it is sent; the Seed repeats all but these times.
package load
