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

// Budget counts a server's attempts of a day in a file that is one byte longer with each: nothing in
// it can be torn, a process that ends takes nothing back, and several processes count in it at
// once, each of which learns from the place of its byte which attempt was its own. A day is one of
// UTC. Any goroutine.
//
// A count does not go down within a day. Where its file was removed, replaced or truncated, with its
// directory or alone, a process that has counted in it makes it again, as long as it was.
//
// A client address may spend a share of what the others leave of the limit. With a share of 50 % one
// address can spend half of the limit, two can spend a third each, and something is left for the
// next. What each address has spent is kept in memory only: after a restart all that was spent
// counts as the others', so that an address has its share of the rest.
type Budget struct {
	dir, server string
	limit       int
	share       int // percent
	now         func() time.Time

	mu       sync.Mutex
	day      string
	file     *os.File            // of that day
	seen     int                 // the most that it was known to hold
	restored uint64              // times that it was made again
	log      *zap.Logger         // hears of that
	spenders map[string]*spender // of that day, by address; each has made an attempt
}

// spender is an address that has made attempts.
type spender struct {
	attempts int
	refused  bool // it has wanted more than its share
}

const dayForm = time.DateOnly

// Why there is no attempt.
var (
	errSpent      = errors.New("the daily budget of lookups is spent")
	errShareSpent = errors.New("this address has spent its share of the daily budget of lookups")
)

// OpenBudget opens the count of a server's day in dir, which it makes if it is missing. The limit is
// in attempts, the share of an address 1 to 100 percent; now is the wall clock, whose day counts.
func OpenBudget(dir, server string, limit, share int, now func() time.Time) (*Budget, error) {
	b := &Budget{dir: dir, server: server, limit: limit, share: share, now: now, log: zap.NewNop()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.turn(); err != nil {
		return nil, fmt.Errorf("places.places_state: %w", err)
	}
	return b, nil
}

// Spend takes one attempt for a client address, "" for none; last says that it was the day's last.
// Without a count there is no attempt: an error also means that the file could not be written.
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
	case mine > b.limit: // other processes were quicker
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

// Check is the error that Spend would return now, and takes nothing.
func (b *Budget) Check(address string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.check(address)
}

func (b *Budget) check(address string) error {
	if err := b.turn(); err != nil {
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

// count makes the file a byte longer, and returns how long it is then.
func (b *Budget) count() (mine int, err error) {
	for {
		if _, err := b.file.Write([]byte{'.'}); err != nil {
			return 0, err
		}
		end, err := b.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return 0, err
		}
		// If the file was removed right before, another process may not have seen this byte when it
		// made the file again.
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

// firstRefused says whether an address has been refused for the first time on this day.
func (b *Budget) firstRefused(address string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	by := b.spenders[address]
	if by == nil || by.refused {
		return false
	}
	by.refused = true
	return true
}

// uncounted is err without the path, which is no business of a client's.
func uncounted(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("the daily budget of lookups cannot be counted: %w", err)
}

// Report is how the day stands, with what other processes have spent.
func (b *Budget) Report() places.BudgetReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.turn()
	r := places.BudgetReport{Day: b.day, Spent: min(b.seen, b.limit), Limit: b.limit, Restored: b.restored}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// spent is how much is counted, by all processes.
func (b *Budget) spent() (int, error) {
	info, err := b.file.Stat()
	if err != nil {
		return 0, err
	}
	b.seen = max(b.seen, int(info.Size()))
	return int(info.Size()), nil
}

// logTo has a log hear of files that are made again.
func (b *Budget) logTo(log *zap.Logger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = log
}

// Close gives the file up.
func (b *Budget) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.file.Close()
}

// turn opens the file of the day if it is another than the last one's, or if it is not where it was or
// not as long. It fails if what the file holds is not known.
func (b *Budget) turn() error {
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

// open opens the file of a day, which it makes if it is missing, like the directory.
func (b *Budget) open(day string) (*os.File, error) {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(b.path(day), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// use has f take the place of the file in use.
func (b *Budget) use(f *os.File) {
	if b.file != nil {
		_ = b.file.Close() // it has nothing to flush
	}
	b.file = f
}

// moved says whether the path of the file leads elsewhere or nowhere.
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

// reopen opens the file of the day once more, with what the last one counted.
func (b *Budget) reopen() error {
	if _, err := b.spent(); err != nil { // with what others have added
		return err
	}
	f, err := b.open(b.day)
	if err != nil {
		return err
	}
	b.use(f)
	return b.restore()
}

// restore makes the file as long as it was known to be. Processes that do so at once add it up once.
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

// forget removes the counts of old days. Yesterday's and tomorrow's stay: a clock that jumps over
// midnight and back finds what was spent.
func (b *Budget) forget(now time.Time) {
	all, _ := os.ReadDir(b.dir)
	for _, file := range all {
		text, ours := strings.CutPrefix(file.Name(), b.server+".")
		day, err := time.Parse(dayForm, text)
		if ours && err == nil && now.Sub(day) >= 48*time.Hour {
			_ = os.Remove(b.path(text)) // it is small, and tried again tomorrow
		}
	}
}
