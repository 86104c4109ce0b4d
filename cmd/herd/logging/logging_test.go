package logging

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"serverherd/herd"
	"serverherd/herd/config"
)

func fixedNow() time.Time { return time.Date(2018, 3, 2, 20, 58, 54, 918963997, time.UTC) }

// lines returns the entries that Lines has appended to log.
func lines(text bool, now func() time.Time, log func(l *Lines)) string {
	var out bytes.Buffer
	l := newLines(NewBuffer(&out, herd.LogBuffer, text, nil), now, zap.NewAtomicLevel())
	log(l)
	l.out.Close(time.Minute)
	return out.String()
}

// Entries of lines are byte for byte as zap encodes them.
func TestLinesAreAsZapWritesThem(t *testing.T) {
	for _, text := range []bool{false, true} {
		for _, line := range []string{"", "IAMAT kiwi +34.0-118.0 1", `quote " and \ slash`, "tab\tcr\r", "Zürich 東京", "\x01\xff\xe6\x9d"} {
			got := lines(text, fixedNow, func(l *Lines) { l.LineReceived(7, []byte(line)) })
			var want bytes.Buffer
			z := zap.New(zapcore.NewCore(encoder(text), zapcore.AddSync(&want), zap.InfoLevel),
				zap.WithClock(clock(fixedNow)))
			z.Info("line received", zap.Uint64("conn", 7), zap.String("line", line), zap.Int("length", len(line)))
			if got != want.String() {
				t.Errorf("text %v, %q:\ngot  %swant %s", text, line, got, &want)
			}
		}
	}
}

func TestLinesTellTheTimeAsZapDoes(t *testing.T) {
	now := fixedNow()
	clockNow := func() time.Time { return now }
	var want bytes.Buffer
	z := zap.New(zapcore.NewCore(encoder(false), zapcore.AddSync(&want), zap.InfoLevel), zap.WithClock(clock(clockNow)))
	got := lines(false, clockNow, func(l *Lines) {
		for _, step := range []time.Duration{0, 1, time.Microsecond, 81 * time.Millisecond, time.Second,
			time.Hour, -3 * time.Hour, 1e7 * time.Second} {
			now = now.Add(step).In(time.FixedZone("", 3600))
			l.LineSent(1, nil)
			z.Info("line sent", zap.Uint64("conn", 1), zap.String("line", ""), zap.Int("length", 0))
		}
	})
	if got != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, &want)
	}
}

// An entry is one printable line, whatever a client sends.
func TestLinesArePrintable(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	for _, line := range []string{string(all), "\x1b[31mred", "\u202egnp.exe", "\u2028\u2029\ufeff", "\U000e0001\U0001f600"} {
		entry := lines(false, fixedNow, func(l *Lines) { l.LineSent(1, []byte(line)) })
		entry = strings.TrimSuffix(entry, "\n")
		for _, r := range entry {
			if r < ' ' || r == 0x7f || r == '\u202e' || r == '\u2028' || r == '\ufeff' || r == '\U000e0001' {
				t.Errorf("entry for %q holds %U: %s", line, r, entry)
			}
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	out := lines(false, fixedNow, func(l *Lines) { l.LineReceived(1, bytes.Repeat([]byte{'x'}, 5000)) })
	if n := strings.Count(out, "x"); n != maxLine || !strings.Contains(out, `"length":5000`) {
		t.Errorf("%d bytes kept, want %d, and the length: %s", n, maxLine, out)
	}
}

// baseConfig lacks a directory.
var baseConfig = config.Log{Lines: true, Level: "info", Format: "json"}

func open(t *testing.T, config config.Log, stderr io.Writer) *Log {
	t.Helper()
	l, err := Open(Options{Config: config, Server: "Ball", Now: fixedNow, Stderr: stderr})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOpenWritesEntriesAndLines(t *testing.T) {
	dir := t.TempDir()
	for format, want := range map[string]string{
		"json": `{"level":"info","time":"2018-03-02T20:58:54.918963Z","msg":"started","took":1.5}
{"level":"info","time":"2018-03-02T20:58:54.918963Z","msg":"line received","conn":1,"line":"help","length":4}
{"level":"info","time":"2018-03-02T20:58:54.918963Z","msg":"lookup sent","conn":2,"line":"AT","length":2,"status":"OK","results":3,"bytes":5}
`,
		"text": `2018-03-02T20:58:54.918963Z	info	started	{"took": 1.5}
2018-03-02T20:58:54.918963Z	info	line received	{"conn": 1, "line": "help", "length": 4}
2018-03-02T20:58:54.918963Z	info	lookup sent	{"conn": 2, "line": "AT", "length": 2, "status": "OK", "results": 3, "bytes": 5}
`,
	} {
		config := config.Log{Dir: filepath.Join(dir, "logs", format), Lines: true, Level: "info", Format: format}
		for opened := range 2 { // the second one appends
			var stderr bytes.Buffer
			l := open(t, config, &stderr)
			l.Debug("not at this level")
			l.Info("started", zap.Duration("took", 1500*time.Millisecond))
			l.Lines.LineReceived(1, []byte("help"))
			l.Lines.LookupSent(2, []byte("AT"), "OK", 3, []byte("AT\n{}"))
			l.Close()
			got, err := os.ReadFile(filepath.Join(config.Dir, "server-Ball.log"))
			if all := strings.Repeat(want, opened+1); err != nil || string(got) != all {
				t.Errorf("%s: %v\n%s\nwant\n%s", format, err, got, all)
			}
			if got := stderr.String(); !strings.Contains(got, "\tstarted\t") || strings.Contains(got, "help") {
				t.Errorf("stderr: %q, want the entry and no line", got)
			}
			if l.Dropped() != 0 {
				t.Errorf("%d entries dropped", l.Dropped())
			}
		}
	}
}

func TestLevels(t *testing.T) {
	for level, want := range map[string]struct {
		lines, whole bool
		entries      int
	}{
		"debug": {true, true, 4}, "info": {true, false, 3}, "warn": {false, false, 2}, "error": {false, false, 1},
	} {
		config := config.Log{Dir: t.TempDir(), Lines: true, Level: level, Format: "json"}
		l := open(t, config, nil)
		l.Debug("d")
		l.Info("i")
		l.Warn("w")
		l.Error("e")
		if lines := l.Status().Lines; lines != want.lines {
			t.Errorf("%s: the status has lines %v", level, lines)
		}
		l.Lines.LineReceived(1, []byte("help"))
		l.Lines.LookupSent(1, nil, "OK", 0, []byte("whole"))
		l.Close()
		text, err := os.ReadFile(filepath.Join(config.Dir, "server-Ball.log"))
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Contains(string(text), "line received") && strings.Contains(string(text), "lookup sent"); lines != want.lines {
			t.Errorf("%s: lines are logged: %v", level, lines)
		}
		lines := strings.Count(string(text), "lookup sent") + strings.Count(string(text), "line received")
		if n := strings.Count(string(text), `"level"`) - lines; n != want.entries {
			t.Errorf("%s: %d entries, want %d", level, n, want.entries)
		}
		if whole := strings.Contains(string(text), `"reply":"whole"`); whole != want.whole {
			t.Errorf("%s: whole replies are logged: %v", level, whole)
		}
	}
	l := open(t, config.Log{Dir: t.TempDir(), Lines: false, Level: "info", Format: "json"}, nil)
	defer l.Close()
	if l.Lines != nil {
		t.Error("lines = false: lines are logged")
	}
}

// The level changes while the log is in use: of the entries, of the lines, of whole replies, and of standard error, which
// never has debug entries. Each change is logged, whatever the level is.
func TestSetLevel(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var stderr bytes.Buffer
		l := open(t, config.Log{Dir: t.TempDir(), Lines: true, Level: "warn", Format: format}, &stderr)
		var want []string
		was := "warn"
		for _, level := range []string{"warn", "debug", "error", "info", "info", "debug", "warn", "error"} {
			got, err := l.SetLevel(level, "somebody\x1b")
			if err != nil || got != was || l.Level() != level || l.Status().Level != level || l.Status().ConfiguredLevel != "warn" {
				t.Errorf("%s: it was %s, want %s; %v; %+v", level, got, was, err, l.Status())
			}
			if level != was {
				want = append(want, was+" to "+level)
			}
			was = level
			l.Debug("d-" + level)
			l.Info("i-" + level)
			l.Warn("w-" + level)
			l.File.Error("e-" + level)
			l.Lines.LineReceived(1, []byte("help-"+level))
			l.Lines.LookupSent(1, []byte("at-"+level), "OK", 0, []byte("whole-"+level))
			if lines := level == "debug" || level == "info"; l.Status().Lines != lines {
				t.Errorf("%s: the status has lines %v", level, !lines)
			}
		}
		for _, bad := range []string{"", "INFO", "fatal", "panic", "warning", "debug "} {
			if was, err := l.SetLevel(bad, "x"); err == nil || was != "" || l.Level() != "error" {
				t.Errorf("%q: %q, %v; the level is %s", bad, was, err, l.Level())
			}
		}
		l.Close()
		text, err := os.ReadFile(l.Status().File)
		if err != nil {
			t.Fatal(err)
		}
		for i, level := range []string{"debug", "info", "warn", "error"} {
			for k, entry := range []string{"d-", "i-", "w-"} {
				if has := bytes.Contains(text, []byte(entry+level)); has != (k >= i) {
					t.Errorf("%s: %s%s is in the file: %v", format, entry, level, has)
				}
				if has := strings.Contains(stderr.String(), entry+level); has != (k >= max(i, 1)) {
					t.Errorf("%s: %s%s is on standard error: %v", format, entry, level, has)
				}
			}
			for entry, want := range map[string]bool{"e-": true, "help-": i < 2, "at-": i < 2, "whole-": i < 1} {
				if has := bytes.Contains(text, []byte(entry+level)); has != want {
					t.Errorf("%s: %s%s is in the file: %v", format, entry, level, has)
				}
			}
		}
		between := regexp.MustCompile(`"from": ?"(\w+)", ?"to": ?"(\w+)", ?"by": ?"somebody\\u001b"`)
		for where, text := range map[string]string{"the file": string(text), "standard error": stderr.String()} {
			var got []string
			for line := range strings.Lines(text) {
				if m := between.FindStringSubmatch(line); m != nil && strings.Contains(line, "log level changed") {
					got = append(got, m[1]+" to "+m[2])
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s has the changes %q, want %q\n%s", format, where, got, want, text)
			}
		}
	}
}

func TestOpenNamesWhatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "logs", "server-Ball.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, filepath.Join(dir, "logs")} {
		_, err := Open(Options{Config: config.Log{Dir: bad, Level: "info"}, Server: "Ball", Now: fixedNow})
		if err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, want an error that names it", bad, err)
		}
	}
}

// Text is escaped like zap does, and unprintable characters that zap does not escape are escaped, too.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "IAMAT kiwi +1-1 5", "\x00\xff\x1b[31m", "\u202e\u2028\U000e0001", "\"\\\t\r\n", "東京 Zürich"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendQuoted(nil, []byte(s))
		for _, r := range string(got) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q: %q holds %U", s, got, r)
			}
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != each(s) {
			t.Fatalf("%q: %q is %q, %v", s, got, back, err)
		}
	})
}

// each replaces each byte of invalid UTF-8 in s by the replacement character.
func each(s string) string { return string([]rune(s)) }

// A character between printable ones is escaped the same at each offset within eight bytes.
func TestQuoteAtAnyPlace(t *testing.T) {
	for b := range 256 {
		for place := range 17 {
			p := []byte("abcdefghijklmnopq")
			p[place] = byte(b)
			want := append([]byte{'"'}, p[:place]...)
			for _, one := range [][]byte{{byte(b)}, p[place+1:]} {
				quoted := appendQuoted(nil, one)
				want = append(want, quoted[1:len(quoted)-1]...)
			}
			want = append(want, '"')
			if got := appendQuoted(nil, p); string(got) != string(want) {
				t.Fatalf("%q became %s, want %s", p, got, want)
			}
		}
	}
}
