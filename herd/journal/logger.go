package journal

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// logger is Pebble's. What Pebble regards as the end of the program ends its database. Any goroutine.
type logger struct {
	log *zap.Logger
	end func(cause error)
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

// Fatalf implements pebble.Logger. It returns, so whoever uses the database has to ask why it ended.
func (l *logger) Fatalf(format string, args ...any) {
	first, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	l.end(errors.New(first))
}
