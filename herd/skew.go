package herd

import "go.uber.org/zap"

// clockPinged handles a PING that was received, and logs when the neighbor's clock becomes wrong or right: it
// is wrong if it differs by more than half of max_future. With a larger difference, updates of the clients of
// one of the servers would be refused by the other.
func (n *neighbor) clockPinged(number, ponged uint64) {
	n.skew.Pinged(number, ponged, n.server.reactor.Now())
	n.checkClock()
}

// checkClock logs nothing while the clock is unknown: the first PING of a connection gives only a lower bound.
func (n *neighbor) checkClock() {
	least, most, ok := n.skew.Bounds()
	limit := n.server.cfg.Limits.MaxFuture / 2
	wrong := least > limit || most < -limit
	if !ok || wrong == n.clockWrong {
		return
	}
	n.clockWrong = wrong
	ahead, uncertainty, _ := n.skew.Offset()
	fields := []zap.Field{zap.String("neighbor", n.name), zap.Duration("ahead", ahead),
		zap.Duration("uncertainty", uncertainty)}
	if wrong {
		n.server.log.Warn("clocks differ", fields...)
	} else {
		n.server.log.Info("clocks agree", fields...)
	}
}
