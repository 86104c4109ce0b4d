package guard

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"serverherd/places"
)

// clock is a wall clock controlled by a test.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func openBudget(t *testing.T, dir string, limit int, now func() time.Time) *Budget {
	t.Helper()
	b, err := OpenBudget(dir, "Alford", limit, 50, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// spend charges attempts until the budget is exhausted.
func spend(t *testing.T, b *Budget) (n int) {
	t.Helper()
	for {
		last, err := b.Spend("")
		if err == errSpent {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if n++; last != (b.Report().Spent == b.limit) {
			t.Fatalf("attempt %d is the last one: %v", n, last)
		}
	}
}

func TestBudget(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state [1")
	c := &clock{time.Date(2026, 11, 23, 23, 30, 0, 0, time.UTC)}
	b := openBudget(t, dir, 10, c.now)
	if _, err := b.Spend(""); err != nil {
		t.Fatal(err)
	}
	if n := spend(t, openBudget(t, dir, 10, c.now)); n != 9 {
		t.Errorf("%d after a restart, want 9", n)
	}
	if r := b.Report(); r != (places.BudgetReport{Day: "2026-11-23", Spent: 10, Limit: 10}) {
		t.Errorf("%+v", r)
	}
	c.Time = c.Add(time.Hour)
	if n := spend(t, b); n != 10 {
		t.Errorf("%d on the next day", n)
	}
	c.Time = c.Add(-time.Hour)
	if n := spend(t, b); n != 0 {
		t.Errorf("%d after the clock went back over midnight", n)
	}
	c.Time = c.Add(5 * 24 * time.Hour)
	b.Report()
	left, _ := os.ReadDir(dir)
	if len(left) != 1 || left[0].Name() != "Alford.2026-11-28" {
		t.Errorf("what is kept: %v", left)
	}
	if n := spend(t, openBudget(t, dir, 20, c.now)); n != 20 {
		t.Errorf("%d of a larger budget", n)
	}
	if r := b.Report(); r.Spent != 10 {
		t.Errorf("%+v of a smaller budget", r)
	}
}

// spendAs charges attempts to an address until its share is exhausted.
func spendAs(t *testing.T, b *Budget, address string) (n int) {
	t.Helper()
	for ; ; n++ {
		_, err := b.Spend(address)
		if err == errSpent || err == errShareSpent {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// An address can use a share of what others leave, so that something is always left for the next.
func TestBudgetShare(t *testing.T) {
	c := &clock{time.Date(2026, 11, 23, 23, 30, 0, 0, time.UTC)}
	dir := t.TempDir()
	b := openBudget(t, dir, 1000, c.now)
	for i, want := range []int{500, 250, 125, 63, 31} {
		if n := spendAs(t, b, fmt.Sprint("192.0.2.", i)); n != want {
			t.Errorf("address %d spends %d, want %d", i, n, want)
		}
	}
	if _, err := b.Spend("192.0.2.0"); err != errShareSpent {
		t.Errorf("the first address once more: %v", err)
	}
	if n := spendAs(t, openBudget(t, dir, 1000, c.now), "192.0.2.0"); n != 16 {
		t.Errorf("%d by an address that a restart has forgotten, want half of the last 31", n)
	}
	if n := spendAs(t, b, ""); n != 15 {
		t.Errorf("%d without an address, want the rest", n)
	}
	c.Time = c.Add(time.Hour)
	if n := spendAs(t, b, "192.0.2.0"); n != 500 {
		t.Errorf("%d on the next day", n)
	}
	both := openBudget(t, t.TempDir(), 999, c.now)
	var counts [2]int
	for i := 0; ; i++ {
		if _, err := both.Spend(fmt.Sprint(i % 2)); err != nil {
			break
		}
		counts[i%2]++
	}
	if counts != [2]int{333, 333} {
		t.Errorf("two at once spend %v, want a third each", counts)
	}
	all, err := OpenBudget(t.TempDir(), "Alford", 10, 100, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	if n := spendAs(t, all, "192.0.2.0"); n != 10 {
		t.Errorf("%d of 10 where an address may spend all", n)
	}
}

// Rejections by share are counted and logged once a day per address; other addresses are served.
func TestShareSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		s := &scripted{script: []error{nil}}
		g := New(Options{
			Provider: s, Name: "google", Timeout: time.Second, Rate: 50, Log: zap.New(core),
			Budget: openBudget(t, t.TempDir(), 4, time.Now),
		})
		asksAs := func(address, want string) {
			t.Helper()
			p := &places.Payer{Address: address}
			_, err := g.Nearby(places.WithPayer(t.Context(), p), places.Query{})
			if text(err) != want || p.Spent != (want != "") {
				t.Errorf("%s: %v, spent %v", address, err, p.Spent)
			}
		}
		const spent = "this address has exhausted its share of the daily lookup budget"
		asksAs("192.0.2.1", "")
		asksAs("192.0.2.1", "")
		for range 2 * maxFailures {
			asksAs("192.0.2.1", spent)
		}
		asksAs("192.0.2.2", "")
		r := g.Report()
		if len(s.asked) != 3 || r.Attempts != 3 || r.ShareRefused != 10 || r.BudgetRefused != 0 || r.Breaker != "closed" {
			t.Errorf("%d asked, %+v", len(s.asked), r)
		}
		entries := logged.FilterMessage("places budget share exhausted")
		if entries.Len() != 1 || entries.All()[0].ContextMap()["address"] != "192.0.2.1" {
			t.Errorf("%v", logged.All())
		}
	})
}

// Budgets of servers are separate, even if one's name is a prefix of the other's.
func TestBudgetOfEachServer(t *testing.T) {
	dir, c := t.TempDir(), &clock{time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	other, err := OpenBudget(dir, "Alford2", 5, 50, c.now)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	spend(t, other)
	c.Time = c.Add(9 * 24 * time.Hour)
	if n := spend(t, openBudget(t, dir, 5, c.now)); n != 5 {
		t.Errorf("%d, want 5", n)
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "Alford2.*")); len(all) != 1 {
		t.Errorf("the other's count is gone: %v", all)
	}
}

// Several processes count exactly in one file.
func TestBudgetIsShared(t *testing.T) {
	const limit = 1000
	dir, total := t.TempDir(), atomic.Int64{}
	var all sync.WaitGroup
	for range 4 {
		b := openBudget(t, dir, limit, time.Now)
		for range 4 {
			all.Go(func() {
				for {
					if _, err := b.Spend(""); err != nil {
						return
					}
					total.Add(1)
				}
			})
		}
	}
	all.Wait()
	if n := total.Load(); n != limit {
		t.Errorf("%d attempts of %d", n, limit)
	}
}

// A count survives the loss of its file or directory, and the next day begins from zero.
func TestBudgetThatIsRemoved(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		change func(t *testing.T, dir, file string)
	}{
		{"the file", func(t *testing.T, _, file string) { must(t, os.Remove(file)) }},
		{"the directory", func(t *testing.T, dir, _ string) { must(t, os.RemoveAll(dir)) }},
		{"the directory with its parent", func(t *testing.T, dir, _ string) { must(t, os.RemoveAll(filepath.Dir(dir))) }},
		{"a directory that was moved", func(t *testing.T, dir, _ string) { must(t, os.Rename(dir, dir+"-moved")) }},
		{"a directory that was replaced", func(t *testing.T, dir, _ string) {
			must(t, os.Rename(dir, dir+"-moved"))
			must(t, os.Mkdir(dir, 0o700))
		}},
		{"a file that was replaced", func(t *testing.T, _, file string) {
			must(t, os.Rename(file, file+"-moved"))
			must(t, os.WriteFile(file, []byte("."), 0o600))
		}},
		{"what it held", func(t *testing.T, _, file string) { must(t, os.Truncate(file, 1)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "parent", "state")
			c := &clock{time.Date(2026, 11, 23, 23, 30, 0, 0, time.UTC)}
			b, other := openBudget(t, dir, 10, c.now), openBudget(t, dir, 10, c.now)
			for _, by := range []*Budget{b, other, other, b} {
				if _, err := by.Spend(""); err != nil {
					t.Fatal(err)
				}
			}
			test.change(t, dir, b.path(b.day))
			if r := b.Report(); r != (places.BudgetReport{Day: "2026-11-23", Spent: 4, Limit: 10, Restored: 1}) {
				t.Errorf("%+v", r)
			}
			if r := openBudget(t, dir, 10, c.now).Report(); r.Spent != 4 {
				t.Errorf("after a restart: %+v", r)
			}
			must(t, os.RemoveAll(dir))
			if n := spend(t, other); n != 6 {
				t.Errorf("%d attempts more, want 6", n)
			}
			if n := spend(t, b); n != 0 {
				t.Errorf("%d attempts beyond the limit", n)
			}
			must(t, os.RemoveAll(dir))
			c.Time = c.Add(time.Hour)
			if n := spend(t, b); n != 10 {
				t.Errorf("%d on the next day", n)
			}
		})
	}
}

// If the file is removed while several processes count in it, the limit still holds.
func TestBudgetThatIsRemovedWhileShared(t *testing.T) {
	const limit, processes = 2000, 4
	dir, total := t.TempDir(), atomic.Int64{}
	var all sync.WaitGroup
	for range processes {
		b := openBudget(t, dir, limit, time.Now)
		all.Go(func() {
			for {
				if _, err := b.Spend(""); err != nil {
					if err != errSpent {
						t.Error(err)
					}
					return
				}
				if total.Add(1) == limit/2 {
					_ = os.Remove(b.path(b.day))
				}
			}
		})
	}
	all.Wait()
	// An attempt in progress may be counted twice.
	if n := total.Load(); n > limit || n < limit-processes {
		t.Errorf("%d attempts of %d", n, limit)
	}
}

// While the file cannot be written, attempts are rejected and the error is reported.
func TestBudgetThatCannotBeCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		dir := filepath.Join(t.TempDir(), "state")
		s := &scripted{script: []error{nil, nil, nil}}
		g := New(Options{
			Provider: s, Name: "google", Timeout: time.Second, Rate: 50, Log: zap.New(core),
			Budget: openBudget(t, dir, 10, time.Now),
		})
		asks(t, g, "")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			asks(t, g, "cannot update the daily lookup budget: not a directory")
		}
		if r := g.Report(); r.Attempts != 1 || r.BudgetRefused != 5 || !strings.Contains(r.Budget.Error, dir) {
			t.Errorf("%+v", r)
		}
		time.Sleep(25 * time.Hour)
		asks(t, g, "cannot update the daily lookup budget: not a directory")
		if n := logged.FilterMessage("places budget file error").Len(); n != 2 {
			t.Errorf("logged %d times: %v", n, logged.All())
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		asks(t, g, "")
		if r := g.Report(); r.Attempts != 2 || r.Budget.Spent != 1 || r.Budget.Error != "" {
			t.Errorf("%+v", r)
		}
	})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBudget(file, "Alford", 10, 50, time.Now); err == nil || !strings.Contains(err.Error(), "places.places_state: ") {
		t.Error(err)
	}
}

// Every attempt is charged, including retries, and an exhausted budget is logged once.
func TestAttemptsArePaidFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		s := &scripted{script: []error{transient, nil, nil, nil, nil}}
		g := New(Options{
			Provider: s, Name: "google", Timeout: time.Second, Rate: 50, Log: zap.New(core),
			Budget: openBudget(t, t.TempDir(), 3, time.Now),
		})
		asks(t, g, "") // two attempts
		asks(t, g, "")
		for range 2 * maxFailures {
			asks(t, g, "daily lookup budget exhausted")
		}
		r := g.Report()
		if len(s.asked) != 3 || r.Attempts != 3 || r.BudgetRefused != 10 || r.Budget.Spent != 3 || r.Breaker != "closed" {
			t.Errorf("%d asked, %+v", len(s.asked), r)
		}
		if logged.FilterMessage("places budget exhausted").Len() != 1 {
			t.Errorf("%v", logged.All())
		}
		time.Sleep(24 * time.Hour)
		asks(t, g, "")
	})
}

// getter is a provider that uses HTTP.
type getter struct {
	client *http.Client
	url    string
}

func (g getter) Nearby(ctx context.Context, _ places.Query) (places.Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url, nil)
	if err != nil {
		return places.Result{}, err
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return places.Result{}, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return places.Result{}, err
}

// net/http repeats a GET if an idle connection breaks without an answer. The service may have charged both.
func TestRepeatsOfTheLibraryArePaidFor(t *testing.T) {
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "{}")
	}))
	defer server.Close()
	g := New(Options{
		Provider: getter{server.Client(), server.URL}, Timeout: time.Minute, Rate: 50,
		Budget: openBudget(t, t.TempDir(), 10, time.Now),
	})
	asks(t, g, "")
	asks(t, g, "")
	if r := g.Report(); served.Load() != 3 || r.Attempts != 3 || r.Budget.Spent != 3 {
		t.Errorf("%d served, %+v", served.Load(), r)
	}
}
