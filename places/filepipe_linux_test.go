package places

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// If a pipe replaces the file during a reload, the reload does not block.
func TestFileBecomesAPipe(t *testing.T) {
	const text = "name,lat,lng\nx,1,2\n"
	path := written(t, "a.csv", text)
	f, err := NewFile(path, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(filepath.Dir(path), "pipe.csv")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, pipe, unix.RENAME_EXCHANGE); err != nil {
				stopped <- &os.LinkError{Op: "exchange", Old: path, New: pipe, Err: err}
				return
			}
		}
	}()
	const reloads = 20_000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range reloads {
			if err := f.Reload(); err != nil && !strings.HasSuffix(err.Error(), "is not a regular file") {
				t.Error(err)
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("a reload waits for the writer of a pipe")
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
