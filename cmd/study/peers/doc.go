// Package peers runs the servers of testdata/peers: the herd's protocol on other event loops, to be
// measured beside it. It finds each one's interpreter, or says how to install it; it starts single
// servers and whole herds on ports of their own, waits until they listen, and stops them.
//
//	for _, p := range peers.All() {
//		if why := p.Missing(); why != "" {
//			continue // and say so
//		}
//		s, err := p.Start(ctx, peers.Options{Dir: dir})
//		// s[0].Addr takes clients, s[0].Cmd.Process uses CPU time
//		err = s[0].Stop()
//	}
//
// In testdata/peers are
//
//   - python: one server for asyncio and for Twisted, each as an expert of it would write it.
//   - node: the same for Node.js.
//   - twisted: the paper's own prototype as its text has it, on today's Twisted. It is a neighbor for
//     tests of the herd, knows no line that ends in LF alone, and is not run by this package.
//
// The first two answer clients with the herd's own bytes, in the dialect "paper", except that every
// WHATSAT gets places.json, and that there are no limits but the length of a line, the length of a name
// and an hour of future. Between servers they speak as the paper does: plain AT lines. They are run
// where they are, in the checkout.
package peers
