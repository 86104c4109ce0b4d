// Package viewer is the server's side of /ws: what one page gets and asks for on its WebSocket connection. The other
// side is site/assets/connection.js.
//
// # Protocol
//
// Version Protocol. A page that is told another version says so and is loaded again.
//
// Text messages are JSON objects, and "type" says what they are. A page ignores a type or a member that it does not
// know; the server does not, see below. The server sends:
//
//	{"type":"hello","protocol":1,"page":"5f0c...","herd":"ucla","server":"Ball",...}    console.LiveHello, once
//	{"type":"idle"}                                                                     nothing has been sent for 5 s
//	{"type":"herd","answered":5,"of":5,"servers":[...],"links":[...],...}               console.LiveHerd: all of it, when it has changed
//
// and what the page asks for with these requests, see Request. A request replaces the one before of its type:
//
//	{"type":"dots","on":true}                         the positions of all clients, until "on":false
//	{"type":"name","generation":7,"slot":17}          which client is dot 17?
//	{"type":"client","id_b64":"a2l3aQ=="}             this client, now and when it changes; without id_b64 none any more
//	{"type":"flights","on":true}                      the floods of the replay, until "on":false
//
// Anything else, and more than herd.PageRequest bytes, ends the connection with 1008 (policy violation) and a reason.
//
// # Dots
//
//	page    {"type":"dots","on":true}
//	server  {"type":"dots","generation":7,"clients":120000,"shown":120000,"one_of":1}    forget all dots
//	server  binary, binary, ...                                                          64 KiB at most each
//	server  {"type":"dots-done","generation":7,"clients":120002}                         what was there has been sent
//	server  binary ...                                                                   changes
//	page    {"type":"name","generation":7,"slot":17}
//	server  {"type":"name","generation":7,"slot":17,"id":"kiwi","id_b64":"a2l3aQ=="}
//
// A binary message is 8 bytes, which are 1 (dots), 0, 0, 0 and the generation, then 16 bytes for each dot, all
// little endian: the slot; the latitude and the longitude in 1e-7 degrees, signed; and the age in 0.1 s when the
// message was made. The age is the server's clock minus the client's time, 0 if that is in the future, 0xffffffff if
// it is more than that.
//
// A slot is a client's number from 0 on, and never another one's within a generation. One that was not there before is
// a new client. Each "dots" begins a generation. The page gets one of one_of clients, a power of two, by a hash of
// the id: so a new generation begins when the clients have become too many. "shown" is about how many dots there will
// be. A name of another generation than the present one gets no answer.
//
// At most every herd.DotsPause what has changed since is sent, each dot once, in as many messages as it takes. So a
// slow page skips positions, and needs nothing to catch up.
//
// # Client
//
//	page    {"type":"client","id_b64":"a2l3aQ=="}
//	server  {"type":"client","id":"kiwi","id_b64":"a2l3aQ==","known":false,"server":"Ball","now":"..."}
//	server  {"type":"client","id":"kiwi","id_b64":"a2l3aQ==","known":true,"server":"Ball","now":"...","age":1.5,"at":"AT ...","coords":...}
//
// The members are those of console.LiveClient. "known":false says that the server has no record of it; a message follows
// when it has one.
//
// # Floods
//
//	page    {"type":"flights","on":true}
//	server  {"type":"floods","now":"...","one_of":32,"answered":4,"of":5,"floods":[{"hash":"07c1...","id":"kiwi",...,"steps":[...]}]}
//
// The members are those of console.LiveFloods. First come the floods of the last minute, the oldest first, in several
// messages, then those that are new or have changed, at most every herd.ReplayPause. A page that is slow misses floods
// that are older than that minute.
//
// # Limits
//
// The server follows each message with a ping, and sends the next one when the pong has come. So at most one message is
// on its way, whatever the buffers between the two hold, and a page that is slow misses states instead of getting
// old ones. A page that takes nothing for herd.ConsoleStall is disconnected. At most herd.PageRequests requests of a type
// wait to be looked at, the oldest is dropped. The server closes with 1001 when it stops, and with 4401 when the
// token or the login of the page has ended. An Origin other than the console's own address is refused with 403.
//
// # Another stream
//
// What a page gets is made by Streams, one for each kind, which take turns. A new one is a type with the methods of
// Stream, a member of Request with its line in requests if the page asks for it, its messages in this comment, and its
// line in console.streams.
package viewer
