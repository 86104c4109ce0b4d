package herd

import "go.uber.org/zap"

// clockPinged takes a PING that has come, and tells the log when the neighbor's clock becomes wrong, and
// when it is right again: by more than half of max_future, past which its clients' updates are refused
// here or ours there.
func (n *neighbor) clockPinged(number, ponged uint64) {
	n.skew.Pinged(number, ponged, n.server.reactor.Now())
	n.checkClock()
}

func (n *neighbor) checkClock() {
	least, most, ok := n.skew.Bounds()
	limit := n.server.cfg.Limits.MaxFuture / 2
	wrong := ok && (least > limit || most < -limit)
	if wrong == n.clockWrong {
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
