package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"

	"serverherd/herd/herdtest"
	"serverherd/protocol"
)

// options returns options of a journal whose results are posted to a channel.
func options(t testing.TB, dir string) (Options, chan func()) {
	posted := make(chan func(), 1)
	return Options{Dir: dir, Herd: "ucla", Server: "Alford", Log: zap.NewNop(),
		Post: func(f func()) { posted <- f }}, posted
}

// write commits records and waits for the result.
func write(t testing.TB, j *Journal, posted chan func(), records ...protocol.Record) (err error) {
	t.Helper()
	j.Commit(records, func(e error) { err = e })
	select {
	case f := <-posted:
		f()
	case <-time.After(time.Minute):
		t.Fatal("no result of a commit")
	}
	return err
}

// load returns the records in a directory, by client.
func load(t testing.TB, o Options) map[string]string {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	kept := map[string]string{}
	if err := j.Load(func(r protocol.Record) { kept[string(r.Client())] = string(r.Text()) }); err != nil {
		t.Fatal(err)
	}
	return kept
}

func TestRecordsSurviveAReopen(t *testing.T) {
	o, posted := options(t, t.TempDir())
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for i := range 3 {
		for _, client := range []string{"a", "b", "\x00", "\xff\xfe", strings.Repeat("x", 1024)} {
			text := fmt.Sprintf("Ball %s %s +1-1 %d", []string{"+0.5", "5.", "+9.5367431640625e-07"}[i], client, i)
			if err := write(t, j, posted, herdtest.Record(t, text)); err != nil {
				t.Fatal(err)
			}
			want[client] = text
		}
	}
	if err := closeAndWait(t, j); err != nil {
		t.Fatal(err)
	}
	if got := load(t, o); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("loaded %q, want %q", got, want)
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	o, _ := options(t, dir)
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "Alford")+": ") {
		t.Errorf("twice: %v", err)
	}
	j.Close()

	other := o
	other.Herd = "usc"
	if _, err := Open(other); err == nil || !strings.Contains(err.Error(), "belongs to server Alford of herd ucla, not to Alford of usc") {
		t.Errorf("another herd's: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "Alford"), filepath.Join(dir, "Ball")); err != nil {
		t.Fatal(err)
	}
	other = o
	other.Server = "Ball"
	if _, err := Open(other); err == nil || !strings.Contains(err.Error(), "belongs to server Alford of herd ucla, not to Ball of ucla") {
		t.Errorf("another server's: %v", err)
	}
	file := o
	file.Dir = filepath.Join(dir, "file")
	if err := os.WriteFile(file.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), file.Dir) {
		t.Errorf("a file: %v", err)
	}
}

// faultyFS is a file system that fails on request.
type faultyFS struct {
	*errorfs.FS
	err   atomic.Pointer[error]
	syncs atomic.Bool  // only syncs fail
	spare atomic.Int64 // writes that still succeed on a full disk
}

func newFaultyFS() *faultyFS {
	b := &faultyFS{}
	b.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		err := b.err.Load()
		switch {
		case err == nil || op.Kind.ReadOrWrite() != errorfs.OpIsWrite:
			return nil
		case b.syncs.Load() && op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData &&
			op.Kind != errorfs.OpFileSyncTo:
			return nil
		case *err == syscall.ENOSPC && (op.Kind != errorfs.OpFileWrite || b.spare.Add(-1) >= 0):
			return nil
		}
		return *err
	}))
	return b
}

func (b *faultyFS) fail(err error) { b.err.Store(&err) }
func (b *faultyFS) heal()          { b.err.Store(nil) }

func TestFailingDisk(t *testing.T) {
	for _, test := range []struct {
		name  string
		err   error
		syncs bool
	}{{"full", syscall.ENOSPC, false}, {"broken", syscall.EIO, false}, {"sync fails", syscall.EIO, true}} {
		t.Run(test.name, func(t *testing.T) {
			fs := newFaultyFS()
			fs.syncs.Store(test.syncs)
			o, posted := options(t, t.TempDir())
			o.FS = fs
			j, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := write(t, j, posted, herdtest.Record(t, "Ball +0.5 a +1-1 1")); err != nil {
				t.Fatal(err)
			}
			fs.fail(test.err)
			outcome := errPending
			j.Commit([]protocol.Record{herdtest.Record(t, "Ball +0.5 b +1-1 2")}, func(err error) { outcome = err })
			select { // a few retries, none of which may succeed
			case f := <-posted:
				f()
				if !test.syncs || !errors.Is(outcome, test.err) {
					t.Fatalf("failing disk: %v", outcome)
				}
			case <-time.After(3 * retryPause):
				if test.syncs {
					t.Fatal("a failed sync was retried")
				}
			}
			if err := j.State().Err; !errors.Is(err, test.err) {
				t.Errorf("the state of failing disk: %v", err)
			}
			fs.heal()
			if !test.syncs {
				(<-posted)()
				if outcome != nil {
					t.Errorf("after recovery: %v", outcome)
				}
			}
			for _, text := range []string{"Ball +0.5 b +1-1 3", "Ball +0.5 c +1-1 3"} {
				if err := write(t, j, posted, herdtest.Record(t, text)); err != nil {
					t.Fatal("after recovery:", err)
				}
			}
			if s := j.State(); s.Err != nil || s.Losses != 0 {
				t.Errorf("after recovery: %+v", s)
			}
			if err := closeAndWait(t, j); err != nil {
				t.Error(err)
			}
			o.FS = nil
			if got := load(t, o); len(got) != 3 || !strings.HasSuffix(got["b"], " 3") {
				t.Errorf("loaded %q", got)
			}
		})
	}
}

var errPending = errors.New("no outcome yet")

// Under load, operations on files other than the log fail, too.
func TestFailingDiskUnderLoad(t *testing.T) {
	fs := newFaultyFS()
	o, posted := options(t, t.TempDir())
	o.FS, o.memTable = fs, smallMemTable
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 60
	for round := range rounds {
		var batch []protocol.Record
		for i := range 500 {
			batch = append(batch, herdtest.Record(t, fmt.Sprintf("Ball +0.5 client%d%s +1-1 %d", i, strings.Repeat("-", 400), round)))
		}
		failing := make(chan struct{})
		if round%3 == 1 {
			fs.fail(syscall.ENOSPC)
			go func() {
				time.Sleep(2 * retryPause)
				fs.heal()
				close(failing)
			}()
		} else {
			close(failing)
		}
		err := write(t, j, posted, batch...)
		<-failing
		for err != nil { // retry, as a server does
			err = write(t, j, posted, batch...)
		}
	}
	fs.heal()
	if err := closeAndWait(t, j); err != nil {
		t.Error(err)
	}
	o.FS = nil
	got := load(t, o)
	if len(got) != 500 {
		t.Fatalf("%d records", len(got))
	}
	for client, text := range got {
		if !strings.HasSuffix(text, fmt.Sprint(" ", rounds-1)) {
			t.Fatalf("%.20s: %q, want the last round", client, text[len(text)-20:])
		}
	}
}

// Whatever is cut off the end of the log, only records that were written are loaded.
func TestTruncatedLog(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := write(t, j, posted, herdtest.Record(t, fmt.Sprintf("Ball +0.5 client%d +1-1 %d", i, i))); err != nil {
			t.Fatal(err)
		}
	}
	// The files as after kill -9.
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	j.Close()
	logs, _ := filepath.Glob(filepath.Join(killed, "Alford", "*.log"))
	if len(logs) == 0 {
		t.Fatal("no log to truncate")
	}
	o.Dir = killed
	if n := len(load(t, o)); n != 50 {
		t.Fatalf("%d records of the complete log", n)
	}
	for _, cut := range []int{1, 7, 100, 1500} {
		torn := t.TempDir()
		if err := os.CopyFS(torn, os.DirFS(killed)); err != nil {
			t.Fatal(err)
		}
		logs, _ := filepath.Glob(filepath.Join(torn, "Alford", "*.log"))
		last := logs[len(logs)-1]
		info, err := os.Stat(last)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(last, max(0, info.Size()-int64(cut))); err != nil {
			t.Fatal(err)
		}
		o.Dir = torn
		for client, text := range load(t, o) {
			if i := strings.TrimPrefix(client, "client"); text != fmt.Sprintf("Ball +0.5 client%s +1-1 %s", i, i) {
				t.Errorf("cut by %d: %q has %q", cut, client, text)
			}
		}
	}
}

// A corrupt file is an error of Open, or is detected later; no wrong record is loaded.
func TestCorruptFiles(t *testing.T) {
	dir := t.TempDir()
	o, posted := options(t, dir)
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if err := write(t, j, posted, herdtest.Record(t, fmt.Sprintf("Ball +0.5 client%d +1-1 %d", i, i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.db.Flush(); err != nil {
		t.Fatal(err)
	}
	j.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "Alford", "*"))
	refused := 0
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			continue
		}
		o.Dir = t.TempDir()
		if err := os.CopyFS(o.Dir, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(o.Dir, "Alford", filepath.Base(file))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range text {
			text[i] ^= 0x55
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(o)
		if err == nil {
			err = j.Load(func(r protocol.Record) {
				if i := strings.TrimPrefix(string(r.Client()), "client"); string(r.Text()) != fmt.Sprintf("Ball +0.5 client%s +1-1 %s", i, i) {
					t.Errorf("%s: %q", file, r.Text())
				}
			})
			j.Close()
		}
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), o.Dir) {
				t.Errorf("%s: %v does not name the directory", file, err)
			}
		}
	}
	if refused == 0 {
		t.Error("no corruption was detected")
	}
}

// Invalid values are skipped.
func TestInvalidValues(t *testing.T) {
	o, posted := options(t, t.TempDir())
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t, j, posted, herdtest.Record(t, "Ball +0.5 a +1-1 1")); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"\x01b": "Ball +0.5 a +1-1 1", "\x01c": "", "\x01d": "Ball +0.5 d +1-1 nan", "\x01e": "Ball +0.5 e +91-1 1",
	} {
		if err := j.db.Set([]byte(key), []byte(value), nil); err != nil {
			t.Fatal(err)
		}
	}
	j.Close()
	if got := load(t, o); len(got) != 1 {
		t.Errorf("loaded %q", got)
	}
}

// BenchmarkCommit commits one synced batch of 50,000 random updates among 1,000,000 clients.
func BenchmarkCommit(b *testing.B) {
	o, posted := options(b, b.TempDir())
	j, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	fill(b, j, posted, 1_000_000)
	n := 0
	batch := make([]protocol.Record, 50_000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range batch {
			n = (n*1103515245 + 12345) & 0x7fffffff
			batch[i] = herdtest.Record(b, fmt.Sprintf("Ball +0.5 client%07d +34.068930-118.445127 %d.123456789", n%1_000_000, 1520023934+b.N))
		}
		b.StartTimer()
		if err := write(b, j, posted, batch...); err != nil {
			b.Fatal(err)
		}
	}
}

func fill(b *testing.B, j *Journal, posted chan func(), n int) {
	for from := 0; from < n; from += 50_000 {
		batch := make([]protocol.Record, 50_000)
		for i := range batch {
			batch[i] = herdtest.Record(b, fmt.Sprintf("Ball +0.5 client%07d +34.068930-118.445127 1520023934.123456789", from+i))
		}
		if err := write(b, j, posted, batch...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad loads 1,000,000 records, without a Store.
func BenchmarkLoad(b *testing.B) {
	o, posted := options(b, b.TempDir())
	j, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	fill(b, j, posted, 1_000_000)
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		j, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		if err := j.Load(func(protocol.Record) { n++ }); err != nil || n != 1_000_000 {
			b.Fatal(n, err)
		}
		j.Close()
	}
}
