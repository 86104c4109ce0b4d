package journal

import (
	"fmt"
	"sync/atomic"

	"go.uber.org/zap"
)

// logger is Pebble's. What Pebble regards as the end of the program is only noted. Any goroutine.
type logger struct {
	log   *zap.Logger
	fatal atomic.Pointer[string]
}

// Infof implements pebble.Logger.
func (l *logger) Infof(format string, args ...any) {
	if l.log.Core().Enabled(zap.DebugLevel) {
		l.log.Debug("pebble", zap.String("what", fmt.Sprintf(format, args...)))
	}
}

// Errorf implements pebble.Logger.
func (l *logger) Errorf(format string, args ...any) {
	l.log.Debug("pebble failed", zap.String("what", fmt.Sprintf(format, args...)))
}

// Fatalf implements pebble.Logger. It returns, so whoever uses the database has to ask failure.
func (l *logger) Fatalf(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	l.fatal.CompareAndSwap(nil, &what)
}

// failure is what Pebble could not go on after, or nil.
func (l *logger) failure() error {
	if what := l.fatal.Load(); what != nil {
		return fmt.Errorf("%s", *what)
	}
	return nil
}
