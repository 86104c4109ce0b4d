package logging

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"serverherd/herd/config"
)

// terminalLevel is the level of standard error: that of the log, but never below info.
type terminalLevel struct{ log zap.AtomicLevel }

// Enabled implements zapcore.LevelEnabler.
func (t terminalLevel) Enabled(l zapcore.Level) bool {
	return l >= zapcore.InfoLevel && t.log.Enabled(l)
}

// Level returns the level in force: debug, info, warn or error. Any goroutine.
func (l *Log) Level() string { return l.level.String() }

// SetLevel changes the level of entries and lines, and returns what it was. The change is logged, whatever the level is,
// with who made it. Any goroutine.
func (l *Log) SetLevel(level, by string) (was string, err error) {
	if err := config.CheckLogLevel(level); err != nil {
		return "", err
	}
	to, err := zapcore.ParseLevel(level)
	if err != nil {
		return "", err
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	from := l.level.Level()
	if l.level.SetLevel(to); from != to {
		l.Always.Info("log level changed", zap.Stringer("from", from), zap.Stringer("to", to), zap.String("by", by))
	}
	return from.String(), nil
}
