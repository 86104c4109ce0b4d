package logging

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"serverherd/cmd/herd/view"
	"serverherd/herd"
	"serverherd/herd/config"
)

// Options configure a Log.
type Options struct {
	Config config.Log
	Server string
	Now    func() time.Time // for the times of entries
	Stderr io.Writer        // also receives entries of level info and above, without lines; may be nil
}

// Log is a server's open log. The zap loggers are for any goroutine, Lines is loop only.
type Log struct {
	*zap.Logger
	File   *zap.Logger  // the file only, without standard error
	Always *zap.Logger  // whatever the level is: who changed what the server does
	Lines  herd.LineLog // nil with lines = false; else the level decides

	config   config.Log
	level    zap.AtomicLevel
	changing sync.Mutex // one change of the level at a time, so that the entries about them are in order
	file     *file
	buffers  []*Buffer
}

// logSuffix ends the names of log files.
const logSuffix = ".log"

// TimeLayout is the format of times in entries, in UTC.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// FileName returns the path of a server's log file.
func FileName(c *config.Log, server string) string {
	return filepath.Join(c.Dir, "server-"+server+logSuffix)
}

// Open opens the log file for appending. Its error names the directory or the file.
func Open(o Options) (*Log, error) {
	level, err := zapcore.ParseLevel(o.Config.Level)
	if err != nil {
		return nil, err
	}
	l := &Log{config: o.Config, level: zap.NewAtomicLevelAt(level)}
	l.file = &file{
		name: FileName(&o.Config, o.Server), maxSize: int64(o.Config.MaxSize), maxFiles: o.Config.MaxFiles,
		compress: o.Config.Compress, forGroup: o.Config.GroupReadable, log: func(level zapcore.Level, message string, fields ...zap.Field) {
			l.Log(level, message, fields...)
		},
	}
	if err := l.file.start(); err != nil {
		return nil, err
	}
	text := o.Config.Format == "text"
	out := l.buffer(l.file, text, o.Now)
	out.maintain = l.file.maintain
	all := []zapcore.Core{zapcore.NewCore(encoder(text), out, zapcore.DebugLevel)}
	cores := []zapcore.Core{zapcore.NewCore(encoder(text), out, l.level)}
	if o.Stderr != nil {
		terminal := l.buffer(o.Stderr, true, o.Now)
		all = append(all, zapcore.NewCore(encoder(true), terminal, zapcore.InfoLevel))
		cores = append(cores, zapcore.NewCore(encoder(true), terminal, terminalLevel{l.level}))
	}
	l.File = zap.New(cores[0], zap.WithClock(clock(o.Now)))
	l.Logger = zap.New(zapcore.NewTee(cores...), zap.WithClock(clock(o.Now)))
	l.Always = zap.New(zapcore.NewTee(all...), zap.WithClock(clock(o.Now)))
	if o.Config.Lines {
		l.Lines = newLines(out, o.Now, l.level)
	}
	if mode, open := l.file.readable(); open {
		l.Warn("log file can be read by others", zap.String("file", l.file.name), zap.String("mode", mode))
	}
	l.file.sweep()
	for _, b := range l.buffers { // last, because the file's goroutine uses the log
		go b.run()
	}
	return l, nil
}

// UseLoopTime sets the clock of lines to the loop's time, which costs nothing. Call it before the loop
// runs.
func (l *Log) UseLoopTime(now func() time.Time) {
	if lines, ok := l.Lines.(*Lines); ok {
		lines.now = now
	}
}

// buffer returns a buffer in front of out. It does not run yet.
func (l *Log) buffer(out io.Writer, text bool, now func() time.Time) *Buffer {
	e := encoder(text)
	b := newBuffer(out, herd.LogBuffer, text, func(n uint64) []byte {
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

// Dropped is how many entries of the file were dropped, because the buffer was full or a write failed.
func (l *Log) Dropped() uint64 { return l.buffers[0].Dropped() }

// Reopened is how often the file was reopened because it was moved, deleted or replaced.
func (l *Log) Reopened() uint64 { return l.file.reopened.Load() }

// checkTimeout is how long CheckFile waits for a disk that stalls.
const checkTimeout = 2 * time.Second

// CheckFile makes the log reopen a file that was moved, deleted or replaced, before it writes entries that
// are logged later. It reports whether it did, and why entries cannot be written now. For one goroutine.
func (l *Log) CheckFile() (reopened bool, err error) {
	c := l.file.requestCheck()
	l.buffers[0].signal()
	select {
	case <-c.done:
		if c.failed != "" {
			err = errors.New(c.failed)
		}
		return c.reopened, err
	case <-l.buffers[0].finished:
		return false, fs.ErrClosed
	case <-time.After(checkTimeout):
		return false, fmt.Errorf("the disk of %s does not answer within %v", l.file.name, checkTimeout)
	}
}

// Status is the log's part of /status.json.
func (l *Log) Status() herd.LogStatus {
	return herd.LogStatus{
		File: l.file.name, Lines: l.config.Lines && l.level.Enabled(zapcore.InfoLevel), Level: l.Level(),
		ConfiguredLevel: l.config.Level, Written: l.file.written.Load(), MaxBytes: l.config.MaxBytes(), Error: l.file.errorText(),
	}
}

// closeTimeout is how long Close waits for a disk or terminal that stalls.
const closeTimeout = 2 * time.Second

// Close writes pending entries. If the disk stalls, it does not close the file, because that would wait for
// the write in progress.
func (l *Log) Close() {
	written := true
	for i, b := range l.buffers {
		if ended := b.Close(closeTimeout); i == 0 {
			written = ended
		}
	}
	if written {
		l.file.close()
	}
}

// encoder returns zap's console encoder if text, else its JSON encoder.
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
		return printable{zapcore.NewConsoleEncoder(c)}
	}
	return printable{zapcore.NewJSONEncoder(c)}
}

// printable escapes what zap leaves: a field may contain text of a peer, a console or a provider. Fields are JSON in
// both forms.
type printable struct{ zapcore.Encoder }

// Clone implements zapcore.Encoder.
func (p printable) Clone() zapcore.Encoder { return printable{p.Encoder.Clone()} }

// EncodeEntry implements zapcore.Encoder.
func (p printable) EncodeEntry(e zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	e.Message = view.OneLine(e.Message) // some are those of gnet
	b, err := p.Encoder.EncodeEntry(e, fields)
	if err != nil {
		return b, err
	}
	if text := view.JSON(b.Bytes()); len(text) != b.Len() {
		b.Reset()
		_, _ = b.Write(text)
	}
	return b, nil
}

// clock implements zapcore.Clock.
type clock func() time.Time

func (c clock) Now() time.Time                         { return c() }
func (c clock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }
