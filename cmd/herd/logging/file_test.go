package logging

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"serverherd/cmd/herd/e2e/processtest"
)

// fileTest is a log file logs/server-Ball.log in a temporary directory, and the events that it logged. The
// test's goroutine replaces the Buffer's.
type fileTest struct {
	*file
	t      *testing.T
	events []string
}

func newFileTest(t *testing.T, maxSize, maxFiles int) *fileTest {
	t.Helper()
	f := &fileTest{t: t, file: &file{
		name: filepath.Join(t.TempDir(), "logs", "server-Ball.log"), maxSize: int64(maxSize), maxFiles: maxFiles,
	}}
	f.log = func(_ zapcore.Level, message string, fields ...zap.Field) {
		e := zapcore.NewMapObjectEncoder()
		for _, field := range fields {
			field.AddTo(e)
		}
		f.events = append(f.events, fmt.Sprint(message, e.Fields))
	}
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return f
}

func (f *fileTest) dir() string { return filepath.Dir(f.name) }

func (f *fileTest) write(entries ...string) {
	f.t.Helper()
	for _, e := range entries {
		if n, err := f.Write([]byte(e + "\n")); n != len(e)+1 || err != nil {
			f.t.Fatalf("%q: %d bytes written, %v; events %q", e, n, err, f.events)
		}
	}
}

// look checks the file now, like SIGHUP.
func (f *fileTest) look() {
	f.requestCheck()
	f.maintain()
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mode(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(name)
	must(t, err)
	return info.Mode().Perm()
}

// Entries are in the file and the rotated files, in order, and maxFiles rotated files are kept.
func TestRotation(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // modes are not masked
	f := newFileTest(t, 20, 3)
	f.write("1234567890123456789") // fits exactly
	f.write("a", strings.Repeat("b", 100), "c", "1234567890", "1234567")
	if got := read(t, f.name); got != "c\n1234567890\n" && got != "1234567\n" {
		t.Errorf("the file holds %q", got)
	}
	all, err := f.rotated()
	must(t, err)
	text := ""
	for _, name := range append(all, f.name) {
		text += read(t, name)
		if m := mode(t, name); m != 0o600 {
			t.Errorf("%s has mode %o", name, m)
		}
	}
	if want := "a\n" + strings.Repeat("b", 100) + "\nc\n1234567890\n1234567\n"; len(all) != 3 || text != want {
		t.Errorf("%q hold\n%s\nwant\n%s", all, text, want)
	}
	if m := mode(t, f.dir()); m != 0o700 {
		t.Errorf("the directory has mode %o", m)
	}
	if n := f.written.Load(); n != 20+2+101+2+11+8 {
		t.Errorf("%d bytes counted as written", n)
	}
	if len(f.events) > 0 || f.reopened.Load() > 0 {
		t.Errorf("events %q, %d times opened again", f.events, f.reopened.Load())
	}
}

// Without a size limit nothing is rotated or removed.
func TestNoRotation(t *testing.T) {
	f := newFileTest(t, 0, 0)
	other := f.rotatedName(time.Now())
	must(t, os.WriteFile(other, []byte("x"), 0o600))
	for range 100 {
		f.write(strings.Repeat("x", 1000))
	}
	f.sweep()
	if n := len(read(t, f.name)); n != 100*1001 || read(t, other) != "x" {
		t.Errorf("%d bytes in the file", n)
	}
}

// logrotate's copytruncate, also after a rotation here: there is no hole, and the size counts from the new
// end.
func TestTruncated(t *testing.T) {
	f := newFileTest(t, 20, 3)
	f.write("1234567890", "abcdefghij") // rotated
	must(t, os.Truncate(f.name, 0))
	f.write("klmnopqrs", "tuvwxyz") // the old size would cause a rotation
	if got := read(t, f.name); got != "klmnopqrs\ntuvwxyz\n" {
		t.Errorf("the file holds %q", got)
	}
	if all, _ := f.rotated(); len(all) != 1 {
		t.Errorf("rotated: %q", all)
	}
}

// If the file is moved or deleted, writes go to a new file with its name.
func TestMovedOrDeleted(t *testing.T) {
	for _, test := range []struct {
		name, reason string
		do           func(f *fileTest) error
	}{
		{"deleted", "moved or deleted", func(f *fileTest) error { return os.Remove(f.name) }},
		{"moved", "moved or deleted", func(f *fileTest) error { return os.Rename(f.name, f.name+".1") }},
		{"the directory deleted", "moved or deleted", func(f *fileTest) error { return os.RemoveAll(f.dir()) }},
		{"the directory moved", "moved or deleted", func(f *fileTest) error { return os.Rename(f.dir(), f.dir()+".1") }},
		{"another in its place", "replaced", func(f *fileTest) error {
			return errors.Join(os.Rename(f.name, f.name+".1"), os.WriteFile(f.name, nil, 0o600))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFileTest(t, 0, 0)
			f.write("before")
			must(t, test.do(f))
			f.look()
			f.look()
			f.write("after")
			if got := read(t, f.name); got != "after\n" || f.reopened.Load() != 1 {
				t.Errorf("the file holds %q; opened %d times again", got, f.reopened.Load())
			}
			if len(f.events) != 1 || !strings.Contains(f.events[0], "log file reopened") || !strings.Contains(f.events[0], test.reason) {
				t.Errorf("events %q", f.events)
			}
		})
	}
}

// A moved file is noticed after some time without SIGHUP, and a rotation does not touch a file of another
// process.
func TestMovedIsNoticedByItself(t *testing.T) {
	f := newFileTest(t, 20, 3)
	f.write("1234567890")
	f.maintain() // first check
	must(t, os.Remove(f.name))
	f.maintain() // too early for another one
	if f.reopened.Load() != 0 {
		t.Error("it is looked at all the time")
	}
	f.checked = f.checked.Add(-time.Hour)
	f.maintain()
	if f.reopened.Load() != 1 {
		t.Errorf("not noticed")
	}
	f.write("1234567890")
	must(t, os.Rename(f.name, f.name+".1"))
	must(t, os.WriteFile(f.name, []byte("theirs\n"), 0o600))
	f.write("abcdefghij") // would be rotated
	if got := read(t, f.name); got != "theirs\nabcdefghij\n" {
		t.Errorf("the file holds %q", got)
	}
}

// A symbolic link in place of the file is not followed: not at the start, not when the file is reopened,
// not by a rotation. A link in place of the directory is followed.
func TestSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	f := newFileTest(t, 20, 3)
	f.write("before")
	must(t, os.Remove(f.name))
	must(t, os.Symlink(secret, f.name))
	f.look()
	f.look()
	if _, err := f.Write([]byte("lost\n")); err == nil {
		t.Error("written to a file without a name, and not counted as lost")
	}
	if len(f.events) != 1 || !strings.Contains(f.events[0], "is a symbolic link, which is not followed") {
		t.Errorf("events %q", f.events)
	}
	if got := f.errorText(); !strings.Contains(got, "is a symbolic link, which is not followed") {
		t.Errorf("trouble: %q", got)
	}
	must(t, os.Remove(f.name))
	f.look()
	if got := f.errorText(); got != "" {
		t.Errorf("trouble when it is back: %q", got)
	}
	f.write("1234567890", "abcdefghij") // rotated
	if got := read(t, f.name); got != "abcdefghij\n" {
		t.Errorf("the file holds %q", got)
	}
	if read(t, secret) != "secret" {
		t.Error("the link was followed")
	}

	linked := filepath.Join(dir, "server-Linked.log")
	must(t, os.Symlink(secret, linked))
	err := (&file{name: linked}).start()
	if want := linked + " is a symbolic link, which is not followed"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	must(t, os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700))
	must(t, os.Symlink("elsewhere", filepath.Join(dir, "logs")))
	g := &file{name: filepath.Join(dir, "logs", "server-Ball.log")}
	must(t, g.start())
	defer g.close()
	_, err = g.Write([]byte("x\n"))
	must(t, err)
	if got := read(t, filepath.Join(dir, "elsewhere", "server-Ball.log")); got != "x\n" {
		t.Errorf("behind the link to the directory: %q", got)
	}
}

// If the file cannot be reopened, writes to the moved file continue.
func TestMovedAndNotReplaceable(t *testing.T) {
	f := newFileTest(t, 0, 0)
	moved := f.name + ".1"
	must(t, os.Rename(f.name, moved))
	must(t, os.Mkdir(f.name, 0o700))
	for range 100 {
		f.look()
	}
	f.write("kept")
	if got := read(t, moved); got != "kept\n" {
		t.Errorf("the file that was moved holds %q", got)
	}
	if len(f.events) != 1 {
		t.Errorf("events %q, want one", f.events)
	}
	if got := f.errorText(); !strings.Contains(got, "is a directory") {
		t.Errorf("trouble: %q", got)
	}
	must(t, os.Rename(moved, moved+"2")) // and back: the open file has its name again
	must(t, os.Remove(f.name))
	must(t, os.Rename(moved+"2", f.name))
	f.look()
	if got := f.errorText(); got != "" {
		t.Errorf("trouble when it is back: %q", got)
	}
}

// A full file that cannot be rotated is not written to, and the error is logged.
func TestCannotBeRotated(t *testing.T) {
	f := newFileTest(t, 20, 3)
	f.close()
	f.name = filepath.Join(f.dir(), strings.Repeat("x", 240)+".log") // too long with the time of a rotation
	must(t, f.start())
	f.write("1234567890")
	for range 100 {
		if n, err := f.Write([]byte("abcdefghij\n")); n != 0 || err == nil {
			t.Fatalf("%d bytes written, %v", n, err)
		}
	}
	if got := read(t, f.name); got != "1234567890\n" || len(f.events) != 1 || !strings.Contains(f.events[0], "what:rotate") {
		t.Errorf("the file holds %q; events %q", got, f.events)
	}
	if got := f.errorText(); !strings.Contains(got, "file name too long") {
		t.Errorf("trouble: %q", got)
	}
	must(t, os.Truncate(f.name, 0))
	f.write("room")
	if got := f.errorText(); got != "" {
		t.Errorf("trouble when there is room: %q", got)
	}
}

// A pipe without a reader in place of the file is an error and does not block the start.
func TestPipeWithoutReader(t *testing.T) {
	name := filepath.Join(t.TempDir(), "server-Ball.log")
	must(t, syscall.Mkfifo(name, 0o600))
	if err := (&file{name: name}).start(); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
	}
}

// Rotated files are compressed one at a time, including those of an earlier process.
func TestCompression(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	f := newFileTest(t, 20, 3)
	var left [2]string
	for i := range left {
		left[i] = f.rotatedName(time.Unix(int64(i), 0))
		must(t, os.WriteFile(left[i], []byte(fmt.Sprint("left ", i)), 0o604))
	}
	must(t, os.WriteFile(left[1]+partial, []byte("half"), 0o600))
	f.compress = true
	f.sweep()
	f.write("1234567890", "abcdefghij", "x")
	for f.gzip.running {
		f.gzip.done <- <-f.gzip.done // wait for its end
		f.maintain()
	}
	all, err := f.rotated()
	must(t, err)
	text := ""
	for _, name := range all {
		text += unzipped(t, name+zipped)
		if m := mode(t, name+zipped); m != 0o600 {
			t.Errorf("%s: mode %o, want 600", name, m)
		}
	}
	entries, err := os.ReadDir(f.dir())
	must(t, err)
	if len(entries) != 4 || text != "left 0left 11234567890\n" || read(t, f.name) != "abcdefghij\nx\n" || len(f.events) > 0 {
		t.Errorf("%q in %q; events %q", text, entries, f.events)
	}
	for range 3 { // compressed files count, too
		f.write("1234567890123456789")
	}
	if all, _ := f.rotated(); len(all) != 3 || exists(left[0]+zipped) || exists(left[1]+zipped) {
		t.Errorf("kept: %q", all)
	}
}

func unzipped(t *testing.T, name string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(read(t, name)))
	must(t, err)
	var text bytes.Buffer
	_, err = text.ReadFrom(z)
	must(t, err)
	return text.String()
}

// close aborts a compression and keeps the uncompressed file.
func TestCompressionEndsEarly(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.log")
	must(t, os.WriteFile(name, []byte("text"), 0o600))
	quit := make(chan struct{})
	close(quit)
	if err := compress(name, false, quit); err == nil || exists(name+zipped) || exists(name+partial) || read(t, name) != "text" {
		t.Errorf("%v", err)
	}
}

// Existing files keep their modes, and the log warns if others can read them.
func TestModesOfWhatExists(t *testing.T) {
	for _, test := range []struct {
		dir, file fs.FileMode
		warned    bool
	}{{0o755, 0o644, true}, {0o755, 0o640, false}, {0o750, 0o644, false}} {
		config := baseConfig
		config.Dir = filepath.Join(t.TempDir(), "logs")
		name := FileName(&config, "Ball")
		must(t, os.Mkdir(config.Dir, 0o700))
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, errors.Join(os.Chmod(config.Dir, test.dir), os.Chmod(name, test.file)))
		open(t, config, nil).Close()
		if warned := strings.Contains(read(t, name), "log file can be read by others"); warned != test.warned ||
			mode(t, name) != test.file || mode(t, config.Dir) != test.dir {
			t.Errorf("%o, %o: now %o, %o; warned: %v", test.dir, test.file, mode(t, config.Dir), mode(t, name), warned)
		}
	}
}

// With group_readable the group of the directory may read what is new, however that came, and whatever the umask is.
// What the former file was does not matter: it may be a pipe that everybody can write, or one that was archived.
func TestGroupReadable(t *testing.T) {
	for _, forGroup := range []bool{true, false} {
		defer syscall.Umask(syscall.Umask(0o077))
		f := newFileTest(t, 20, 5)
		must(t, os.RemoveAll(f.dir()))
		f.forGroup = forGroup
		file, dir := fs.FileMode(0o600), fs.FileMode(0o700)
		if forGroup {
			file, dir = 0o640, 0o750
		}
		look := func(what, name string) {
			t.Helper()
			if m := mode(t, name); m != file {
				t.Errorf("%v, %s: mode %o, want %o", forGroup, what, m, file)
			}
		}
		f.check()
		look("in a new directory", f.name)
		if m := mode(t, f.dir()); m != dir {
			t.Errorf("%v: the directory has mode %o, want %o", forGroup, m, dir)
		}
		must(t, os.Chmod(f.name, 0o646))
		f.write("1234567890123456789", "a")
		look("after a rotation", f.name)
		must(t, errors.Join(os.Rename(f.name, f.name+".1"), os.Chmod(f.name+".1", 0o400)))
		f.check()
		look("after the file was archived", f.name)
		must(t, errors.Join(os.Remove(f.name), os.Symlink("/dev/null", f.name)))
		f.check()
		must(t, os.Remove(f.name))
		f.check()
		look("after a link in its place", f.name)
		f.write("1234567890123456789", "b")
		all, err := f.rotated()
		must(t, err)
		must(t, compress(all[0], forGroup, make(chan struct{})))
		look("compressed", all[0]+zipped)
	}
}

// Whatever the mode of a former file is, the owner of the new one can read and write it.
func TestNewFilesAreForTheirOwner(t *testing.T) {
	f := newFileTest(t, 0, 0)
	for former := range fs.FileMode(0o1000) {
		moved := f.name + ".old"
		must(t, errors.Join(os.Rename(f.name, moved), os.Chmod(moved, former)))
		f.check()
		if got, want := mode(t, f.name), fs.FileMode(0o600); got != want {
			t.Fatalf("the former file has mode %o, the new one %o, want %o", former, got, want)
		}
	}
}

// Many goroutines log while the file is rotated, moved and truncated.
func TestLogOfAFileThatMoves(t *testing.T) {
	config := baseConfig
	config.Dir, config.MaxSize, config.MaxFiles, config.Compress = filepath.Join(t.TempDir(), "logs"), 2000, 2, true
	l := open(t, config, io.Discard)
	name := FileName(&config, "Ball")
	for i := range 50 {
		for range 20 {
			l.Info("entry")
		}
		switch i % 3 {
		case 0:
			_ = os.Truncate(name, 0) // it may be rotated at this moment
		case 1:
			must(t, processtest.RemoveAll(config.Dir))
		}
		l.CheckFile()
	}
	must(t, processtest.RemoveAll(config.Dir))
	l.CheckFile()
	for deadline := time.Now().Add(time.Minute); !exists(name); l.CheckFile() {
		if time.Now().After(deadline) {
			t.Fatal("the file is not opened again")
		}
	}
	l.Info("last")
	l.Close()
	files, err := os.ReadDir(config.Dir)
	must(t, err)
	text := ""
	for _, file := range files { // there is one more file if an entry about dropped entries followed
		if path := filepath.Join(config.Dir, file.Name()); strings.HasSuffix(path, zipped) {
			text += unzipped(t, path)
		} else {
			text += read(t, path)
		}
	}
	if !strings.Contains(text, `"msg":"last"`) || strings.Contains(text, "\x00") {
		t.Errorf("the files hold %q", text)
	}
	if s := l.Status(); s.File != name || s.Written == 0 || s.MaxBytes != 6000 || !s.Lines {
		t.Errorf("%+v", s)
	}
}
