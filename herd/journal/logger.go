package journal

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// logger is Pebble's logger. A message that Pebble considers fatal ends the database. Any goroutine.
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
	l.log.Debug("pebble error", zap.String("what", fmt.Sprintf(format, args...)))
}

// Fatalf implements pebble.Logger. It returns, so the users of the database must check whether it has ended.
func (l *logger) Fatalf(format string, args ...any) {
	first, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	l.end(errors.New(first))
}
