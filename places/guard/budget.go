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
	b := &Budget{dir: dir, server: server, limit: limit, share: share, now: now}
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

// Spend takes one attempt for a client address, "" for none; last says that it was the day's last.
// Without a count there is no attempt: an error also means that the file could not be written.
func (b *Budget) Spend(address string) (last bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.turn(); err != nil {
		return false, uncounted(err)
	}
	spent, err := b.spent()
	if err != nil {
		return false, uncounted(err)
	}
	by := b.spenders[address]
	switch {
	case spent >= b.limit:
		return false, errSpent
	case by == nil:
		by = &spender{}
	case address != "" && by.attempts*100 >= b.share*(b.limit-spent+by.attempts):
		return false, errShareSpent
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
	by.attempts++
	b.spenders[address] = by
	return mine == int64(b.limit), nil
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
	b.day, b.file, b.spenders = day, f, make(map[string]*spender)
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
