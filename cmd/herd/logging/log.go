package logging

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/natefinch/lumberjack.v2"

	"serverherd/herd"
)

// Options say what is logged and where.
type Options struct {
	Config herd.Log
	Server string
	Now    func() time.Time // the clock of entries
	Stderr io.Writer        // entries of level info and above without the lines go here too; or nil
}

// Log is a server's open log. Zap's loggers are for any goroutine, Lines for the loop only.
type Log struct {
	*zap.Logger
	File  *zap.Logger  // the file alone, without standard error
	Lines herd.LineLog // nil if lines are not logged

	file    *lumberjack.Logger
	buffers []*Buffer
}

// Rotation of the file.
const (
	rotateMB = 100
	keep     = 5
)

// TimeLayout is how entries tell the time, in UTC.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// Open opens <dir>/server-<NAME>.log for appending. Its error names the directory or the file.
func Open(o Options) (*Log, error) {
	if err := os.MkdirAll(o.Config.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	name := filepath.Join(o.Config.Dir, "server-"+o.Server+".log")
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	f.Close()
	level, err := zapcore.ParseLevel(o.Config.Level)
	if err != nil {
		return nil, err
	}
	l := &Log{file: &lumberjack.Logger{Filename: name, MaxSize: rotateMB, MaxBackups: keep}}
	text := o.Config.Format == "text"
	file := l.buffer(l.file, text, o.Now)
	cores := []zapcore.Core{zapcore.NewCore(encoder(text), file, level)}
	if o.Stderr != nil {
		out := l.buffer(o.Stderr, true, o.Now)
		cores = append(cores, zapcore.NewCore(encoder(true), out, max(level, zapcore.InfoLevel)))
	}
	l.File = zap.New(cores[0], zap.WithClock(clock(o.Now)))
	l.Logger = zap.New(zapcore.NewTee(cores...), zap.WithClock(clock(o.Now)))
	if o.Config.Lines && level <= zapcore.InfoLevel {
		l.Lines = newLines(file, o.Now, level == zapcore.DebugLevel)
	}
	return l, nil
}

// UseLoopTime has lines carry the time that the loop knows anyway. Call it before the loop runs.
func (l *Log) UseLoopTime(now func() time.Time) {
	if lines, ok := l.Lines.(*Lines); ok {
		lines.now = now
	}
}

// buffer puts a buffer in front of out.
func (l *Log) buffer(out io.Writer, text bool, now func() time.Time) *Buffer {
	e := encoder(text)
	b := NewBuffer(out, herd.LogBuffer, text, func(n uint64) []byte {
		entry := zapcore.Entry{Level: zapcore.WarnLevel, Time: now(), Message: "dropped log entries"}
		line, err := e.EncodeEntry(entry, []zapcore.Field{zap.Uint64("dropped", n)})
		if err != nil {
			return nil
		}
		return line.Bytes()
	})
	l.buffers = append(l.buffers, b)
	return b
}

// Dropped is how many entries of the file there was no room for.
func (l *Log) Dropped() uint64 { return l.buffers[0].Dropped() }

// patience is how long Close waits for a disk or a terminal that stalls.
const patience = 2 * time.Second

// Close writes what is pending. A file whose disk stalls is left as it is, for to close it is to
// wait for the write under way.
func (l *Log) Close() {
	written := true
	for i, b := range l.buffers {
		if ended := b.Close(patience); i == 0 {
			written = ended
		}
	}
	if written {
		l.file.Close()
	}
}

// encoder is zap's, for JSON or for its console form.
func encoder(text bool) zapcore.Encoder {
	c := zapcore.EncoderConfig{
		LevelKey: "level", TimeKey: "time", MessageKey: "msg",
		EncodeLevel: zapcore.LowercaseLevelEncoder,
		EncodeTime: func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
			e.AppendString(t.UTC().Format(TimeLayout))
		},
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	if text {
		return zapcore.NewConsoleEncoder(c)
	}
	return zapcore.NewJSONEncoder(c)
}

// clock is zap's view of a clock.
type clock func() time.Time

func (c clock) Now() time.Time                         { return c() }
func (c clock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }
