// Package peers runs the servers of testdata/peers: the herd's protocol on other event loops, to be
// measured beside it. It finds each one's interpreter, or says how to install it; it starts single
// servers and whole herds on ports of their own, waits until they listen, and stops them.
//
//	for _, p := range peers.All() {
//		if why := p.Missing(); why != "" {
//			continue // and say so
//		}
//		s, err := p.Start(ctx, dir, peers.Options{})
//		// s.Addr takes clients, s.PID uses CPU time
//		err = s.Stop()
//	}
package peers
