// Package peers runs the servers of testdata/peers, which implement the herd's protocol on other event
// loops, for comparison. It finds their interpreters or says how to install them, starts single servers and
// whole herds on free ports, waits until they listen, and stops them.
//
//	for _, p := range peers.All() {
//		if why := p.Missing(); why != "" {
//			continue // and report why
//		}
//		s, err := p.Start(ctx, peers.Options{Dir: dir})
//		// s[0].Addr accepts clients, s[0].Cmd.Process uses CPU time
//		err = s[0].Stop()
//	}
//
// In testdata/peers are
//
//   - python: one server for asyncio and for Twisted, each written as an expert would.
//   - node: the same for Node.js.
//   - twisted: the paper's prototype, ported to current Twisted. It is a legacy neighbor for tests of the
//     herd, requires CRLF, and is not run by this package.
//
// The first two answer clients with the same bytes as the herd, in the dialect "paper", except that every
// WHATSAT gets places.json, and that the only limits are the length of a line, the length of a client id,
// and one hour for times in the future. Between servers they use plain AT lines, as in the paper. They run
// from the checkout.
package peers
