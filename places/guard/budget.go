package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"serverherd/places"
)

// Budget counts a server's attempts per day (UTC) in a file that grows by one byte with each attempt. So a
// write cannot be torn, the count survives the process, and several processes can count concurrently: the
// offset of its byte tells each the number of its attempt. Any goroutine.
//
// A count does not decrease within a day. If the file or its directory was removed, replaced or truncated,
// a process that has used it restores it to its former length.
//
// A client address may use a share of what other addresses leave of the limit. With a share of 50 % one
// address can use half of the limit, two can use a third each, and something is left for the next. The
// attempts per address are in memory only: after a restart, all attempts so far count as those of other
// addresses.
type Budget struct {
	dir, server string
	limit       int
	share       int // percent
	now         func() time.Time

	mu       sync.Mutex
	day      string
	file     *os.File            // of day
	seen     int                 // the largest known size of the file
	restored uint64              // times that the file was restored
	log      *zap.Logger         // for restores
	spenders map[string]*spender // of day, by address, with at least one attempt
}

// spender is the use of the budget by one address.
type spender struct {
	attempts int
	rejected bool // an attempt beyond its share was rejected
}

const dayForm = time.DateOnly

// Why an attempt is rejected.
var (
	errSpent      = errors.New("daily lookup budget exhausted")
	errShareSpent = errors.New("this address has exhausted its share of the daily lookup budget")
)

// OpenBudget opens the budget file of a server in dir, which it creates if it is missing. Limit is in
// attempts per day, share is 1 to 100 percent per address; now is the wall clock.
func OpenBudget(dir, server string, limit, share int, now func() time.Time) (*Budget, error) {
	b := &Budget{dir: dir, server: server, limit: limit, share: share, now: now, log: zap.NewNop()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(); err != nil {
		return nil, fmt.Errorf("places.places_state: %w", err)
	}
	return b, nil
}

// Spend charges one attempt to a client address ("" for none). Last reports whether it was the last of the
// day. If Spend fails, also because the file cannot be written, the attempt must not be made.
func (b *Budget) Spend(address string) (last bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(address); err != nil {
		return false, err
	}
	mine, err := b.count()
	switch {
	case err != nil:
		return false, err
	case mine > b.limit: // other processes were faster
		return false, errSpent
	}
	by := b.spenders[address]
	if by == nil {
		by = &spender{}
		b.spenders[address] = by
	}
	by.attempts++
	return mine == b.limit, nil
}

// Check returns the error that Spend would return now, without charging an attempt.
func (b *Budget) Check(address string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.check(address)
}

func (b *Budget) check(address string) error {
	if err := b.refresh(); err != nil {
		return err
	}
	spent, err := b.spent()
	if err != nil {
		return err
	}
	by := b.spenders[address]
	switch {
	case spent >= b.limit:
		return errSpent
	case address != "" && by != nil && by.attempts*100 >= b.share*(b.limit-spent+by.attempts):
		return errShareSpent
	}
	return nil
}

// count appends a byte to the file and returns the new size.
func (b *Budget) count() (mine int, err error) {
	for {
		if _, err := b.file.Write([]byte{'.'}); err != nil {
			return 0, err
		}
		end, err := b.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return 0, err
		}
		// If the file was removed before the write, another process may have restored it without this byte.
		switch moved, err := b.moved(); {
		case err != nil:
			return 0, err
		case !moved:
			b.seen = max(b.seen, int(end))
			return int(end), nil
		}
		if err := b.reopen(); err != nil {
			return 0, err
		}
	}
}

// firstRejection reports whether this is the first rejection of an address on this day.
func (b *Budget) firstRejection(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	by := b.spenders[address]
	if by == nil || by.rejected {
		return false
	}
	by.rejected = true
	return true
}

// fileError is an error of the file for clients, without its path.
func fileError(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("cannot update the daily lookup budget: %w", err)
}

// Report returns the state of the budget, including attempts of other processes.
func (b *Budget) Report() places.BudgetReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.refresh()
	r := places.BudgetReport{Day: b.day, Spent: min(b.seen, b.limit), Limit: b.limit, Restored: b.restored}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// spent returns the number of attempts of all processes.
func (b *Budget) spent() (int, error) {
	info, err := b.file.Stat()
	if err != nil {
		return 0, err
	}
	b.seen = max(b.seen, int(info.Size()))
	return int(info.Size()), nil
}

// logTo sets the log for restores.
func (b *Budget) logTo(log *zap.Logger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = log
}

// Close closes the file.
func (b *Budget) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.file.Close()
}

// refresh opens the file of the current day if the day has changed, and restores a file that was moved or
// truncated. It fails if the count is unknown.
func (b *Budget) refresh() error {
	now := b.now().UTC()
	if day := now.Format(dayForm); day != b.day {
		f, err := b.open(day)
		if err != nil {
			return err
		}
		b.use(f)
		b.day, b.seen, b.spenders = day, 0, make(map[string]*spender)
		b.forget(now)
	}
	switch moved, err := b.moved(); {
	case err != nil:
		return err
	case moved:
		return b.reopen()
	}
	return b.restore()
}

// open opens the file of a day. It creates the file and its directory if they are missing.
func (b *Budget) open(day string) (*os.File, error) {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(b.path(day), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// use replaces the open file by f.
func (b *Budget) use(f *os.File) {
	if b.file != nil {
		_ = b.file.Close() // nothing to flush
	}
	b.file = f
}

// moved reports whether the file's path is another file or none.
func (b *Budget) moved() (bool, error) {
	there, err := os.Stat(b.path(b.day))
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return true, nil
	case err != nil:
		return false, err
	}
	here, err := b.file.Stat()
	return err == nil && !os.SameFile(here, there), err
}

// reopen opens the day's file by its path again and restores the count.
func (b *Budget) reopen() error {
	if _, err := b.spent(); err != nil { // includes attempts of other processes
		return err
	}
	f, err := b.open(b.day)
	if err != nil {
		return err
	}
	b.use(f)
	return b.restore()
}

// restore extends the file to its largest known size. A lock prevents that concurrent processes extend it
// twice.
func (b *Budget) restore() error {
	known := b.seen
	if n, err := b.spent(); err != nil || n >= known {
		return err
	}
	if err := syscall.Flock(int(b.file.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	defer func() { _ = syscall.Flock(int(b.file.Fd()), syscall.LOCK_UN) }()
	n, err := b.spent()
	if err != nil || n >= known {
		return err
	}
	if _, err := b.file.Write(bytes.Repeat([]byte{'.'}, known-n)); err != nil {
		return err
	}
	b.restored++
	b.log.Warn("places budget file restored", zap.String("file", b.file.Name()), zap.Int("spent", known))
	_, err = b.spent()
	return err
}

func (b *Budget) path(day string) string { return filepath.Join(b.dir, b.server+"."+day) }

// forget removes the files of old days. It keeps those of yesterday and tomorrow, for a clock that jumps
// over midnight and back.
func (b *Budget) forget(now time.Time) {
	all, _ := os.ReadDir(b.dir)
	for _, file := range all {
		text, ours := strings.CutPrefix(file.Name(), b.server+".")
		day, err := time.Parse(dayForm, text)
		if ours && err == nil && now.Sub(day) >= 48*time.Hour {
			_ = os.Remove(b.path(text)) // retried tomorrow
		}
	}
}
