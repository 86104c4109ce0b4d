package logging

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A rotated file of server-Ball.log is server-Ball-2018-03-02T20-58-54.918.log, with the time of its
// rotation in UTC. A compressed one ends with .log.gz, and with .log.gz.part while it is written.
const (
	rotatedLayout = "2006-01-02T15-04-05.000"
	zipped        = ".gz"
	partial       = ".gz.part"
)

// rotatedName is the name of a file rotated at the given time.
func (f *file) rotatedName(at time.Time) string {
	return strings.TrimSuffix(f.name, logSuffix) + "-" + at.UTC().Format(rotatedLayout) + logSuffix
}

// unused is the first such name, from now on, that does not exist: renaming would replace the file.
func (f *file) unused(now time.Time) string {
	for ; ; now = now.Add(time.Millisecond) {
		name := f.rotatedName(now)
		if !exists(name) && !exists(name+zipped) {
			return name
		}
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// rotated returns the uncompressed names of all rotated files, oldest first.
func (f *file) rotated() (all []string, err error) {
	entries, err := os.ReadDir(filepath.Dir(f.name))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(f.name), e.Name())
		name = strings.TrimSuffix(strings.TrimSuffix(name, partial), zipped)
		stamp, ok := strings.CutPrefix(strings.TrimSuffix(name, logSuffix), strings.TrimSuffix(f.name, logSuffix)+"-")
		if at, err := time.Parse(rotatedLayout, stamp); ok && err == nil && f.rotatedName(at) == name {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// sweep removes the rotated files beyond maxFiles and, if compress is set, starts to compress the oldest
// uncompressed one.
func (f *file) sweep() {
	if f.maxSize == 0 {
		return // another program rotates
	}
	all, err := f.rotated()
	for len(all) > f.maxFiles && err == nil {
		if f.gzip.running && f.gzip.name == all[0] {
			f.gzip.end()
		}
		for _, suffix := range []string{partial, zipped, ""} {
			if e := os.Remove(all[0] + suffix); err == nil && !errors.Is(e, fs.ErrNotExist) {
				err = e
			}
		}
		all = all[1:]
	}
	if err != nil {
		_ = f.fail("remove", err)
	}
	for _, name := range all {
		if f.compress && !f.gzip.running && exists(name) {
			f.gzip.start(name, f.forGroup)
		}
	}
}

// compressor compresses one rotated file at a time, in a goroutine, because the buffer would overflow
// meanwhile.
type compressor struct {
	running bool
	name    string        // of the file being compressed
	quit    chan struct{} // closed to abort
	done    chan error    // receives the result
}

func (c *compressor) start(name string, forGroup bool) {
	c.running, c.name, c.quit, c.done = true, name, make(chan struct{}), make(chan error, 1)
	go func(c compressor) { c.done <- compress(name, forGroup, c.quit) }(*c)
}

// end aborts and removes the partial file.
func (c *compressor) end() {
	if c.running {
		close(c.quit)
		<-c.done
		c.running = false
	}
}

// compress writes name+".gz", which the group may read if forGroup, and removes name. It replaces a partial file of an
// earlier process.
func compress(name string, forGroup bool, quit <-chan struct{}) error {
	// #nosec G304 -- a rotated log file, which the operator names
	in, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.Remove(name + partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := create(name+partial, os.O_WRONLY, forGroup)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(out, gzip.BestSpeed) // a valid level; fast, because the servers need the CPU
	_, err = io.Copy(z, reader{in, quit})
	if err = errors.Join(err, z.Close(), out.Close()); err == nil {
		err = os.Rename(name+partial, name+zipped)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name+partial))
	}
	return os.Remove(name)
}

// reader reads until quit is closed.
type reader struct {
	io.Reader
	quit <-chan struct{}
}

func (r reader) Read(p []byte) (int, error) {
	select {
	case <-r.quit:
		return 0, errors.New("aborted")
	default:
		return r.Reader.Read(p)
	}
}
