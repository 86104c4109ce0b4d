package guard

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"serverherd/places"
)

// Budget counts a server's attempts of a day in a file that is one byte longer with each: nothing in
// it can be torn, a process that ends takes nothing back, and several processes count in it at
// once, each of which learns from the place of its byte which attempt was its own. A day is one of
// UTC. Any goroutine.
type Budget struct {
	dir, server string
	limit       int
	now         func() time.Time

	mu   sync.Mutex
	day  string
	file *os.File // of that day
}

const dayForm = time.DateOnly

// errSpent is a day without further attempts.
var errSpent = errors.New("the daily budget of lookups is spent")

// OpenBudget opens the count of a server's day in dir, which it makes if it is missing. The limit is
// in attempts; now is the wall clock, whose day counts.
func OpenBudget(dir, server string, limit int, now func() time.Time) (*Budget, error) {
	b := &Budget{dir: dir, server: server, limit: limit, now: now}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("places.places_state: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.turn(); err != nil {
		return nil, fmt.Errorf("places.places_state: %w", err)
	}
	return b, nil
}

// Spend takes one attempt; last says that it was the day's last. Without a count there is no
// attempt: an error also means that the file could not be written.
func (b *Budget) Spend() (last bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.turn(); err != nil {
		return false, uncounted(err)
	}
	spent, err := b.spent()
	if err != nil {
		return false, uncounted(err)
	}
	if spent >= b.limit {
		return false, errSpent
	}
	if _, err := b.file.Write([]byte{'.'}); err != nil {
		return false, uncounted(err)
	}
	mine, err := b.file.Seek(0, io.SeekCurrent)
	switch {
	case err != nil:
		return false, uncounted(err)
	case mine > int64(b.limit): // other processes were quicker
		return false, errSpent
	}
	return mine == int64(b.limit), nil
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
	r := places.BudgetReport{Limit: b.limit}
	if err := b.turn(); err != nil {
		return r
	}
	r.Day = b.day
	r.Spent, _ = b.spent()
	r.Spent = min(r.Spent, b.limit)
	return r
}

func (b *Budget) spent() (int, error) {
	info, err := b.file.Stat()
	if err != nil {
		return 0, err
	}
	return int(info.Size()), nil
}

// Close gives the file up.
func (b *Budget) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.file.Close()
}

// turn opens the file of the day if it is another than the last one's.
func (b *Budget) turn() error {
	now := b.now().UTC()
	day := now.Format(dayForm)
	if day == b.day {
		return nil
	}
	f, err := os.OpenFile(b.path(day), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if b.file != nil {
		_ = b.file.Close() // it has nothing to flush
	}
	b.day, b.file = day, f
	b.forget(now)
	return nil
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
