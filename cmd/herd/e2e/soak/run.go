// Package soak makes the report of a run of the soak test: a page, a chart and the measurements. The test is TestSoak of
// the package above.
package soak

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Run is what a run has measured. Times are in seconds since its beginning.
type Run struct {
	Command    string     `json:"command"` // that repeats it
	Seed       uint64     `json:"seed"`
	Date       string     `json:"date"`
	Machine    string     `json:"machine"`
	Note       string     `json:"note,omitempty"`   // what else the machine did meanwhile
	Scaled     bool       `json:"scaled,omitempty"` // what depends on time is not judged
	Seconds    float64    `json:"seconds"`
	Warm       float64    `json:"warm"` // samples count from here on
	Kept       []string   `json:"kept"` // servers that were never restarted
	Series     []Series   `json:"series"`
	Bystanders []Interval `json:"bystanders"`
	Waits      *Waits     `json:"waits,omitempty"` // nil: not kept, as in earlier versions
	Faults     []Fault    `json:"faults"`
	Attacks    []Attack   `json:"attacks"`
	Checks     []Check    `json:"checks"`
	Errors     []string   `json:"errors"`
}

// Series are the samples of one server. All slices have the same length.
type Series struct {
	Server      string    `json:"server"`
	At          []float64 `json:"at"`
	Resident    []float64 `json:"resident_mib"`
	Heap        []float64 `json:"heap_mib"` // in use, garbage included
	Descriptors []float64 `json:"descriptors"`
	Goroutines  []float64 `json:"goroutines"`
	Journal     []float64 `json:"journal_mib"`
	Log         []float64 `json:"log_mib"`
}

// Interval is what all bystanders and others have experienced for some seconds. Waits are in milliseconds.
type Interval struct {
	At      float64 `json:"at"` // its end
	Waits   int64   `json:"waits"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
	Replies float64 `json:"replies"` // a second, to all well-behaved clients
	Attacks float64 `json:"attacks"` // a second
}

// Fault is one fault with the quiet window after it.
type Fault struct {
	At     float64 `json:"at"`
	End    float64 `json:"end"`
	Kind   string  `json:"kind"`
	What   string  `json:"what"`
	Live   float64 `json:"live"`  // seconds until all links were live
	Agreed float64 `json:"equal"` // seconds after that until all servers were equal
}

// Attack is what became of one kind of attack.
type Attack struct {
	Name     string         `json:"name"`
	Does     string         `json:"does"`
	Attempts int64          `json:"attempts"`
	Cut      int64          `json:"cut"` // of them, those that a fault of the server ended
	Saw      map[string]int `json:"saw"`
	Counter  string         `json:"counter"`
	Counted  uint64         `json:"counted"`
	Log      string         `json:"log"`
	Entries  int            `json:"entries"` // of the log, from its addresses
	Wrong    int            `json:"wrong"`   // attempts that saw something else
	Harmed   int            `json:"harmed"`  // errors of bystanders at a server that had no fault
}

// Check is a verdict.
type Check struct {
	Wanted   string `json:"wanted"`
	Measured string `json:"measured"`
	Met      bool   `json:"met"`
}

// Check adds a verdict.
func (r *Run) Check(met bool, wanted, measured string, args ...any) {
	r.Checks = append(r.Checks, Check{Wanted: wanted, Measured: fmt.Sprintf(measured, args...), Met: met})
}

// CheckTime adds a verdict that depends on time. In a scaled run it is always met, as the machine may be arbitrarily slow.
func (r *Run) CheckTime(met bool, wanted, measured string, args ...any) {
	if r.Scaled {
		met, wanted = true, wanted+" (scaled down: not judged)"
	}
	r.Check(met, wanted, measured, args...)
}

// Read reads a raw.json.
func Read(path string) (*Run, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Run
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, s := range r.Series {
		for _, m := range measures {
			if len(m.of(s)) != len(s.At) {
				return nil, fmt.Errorf("%s: the samples of %s have different lengths", path, s.Server)
			}
		}
	}
	return &r, nil
}

// Write writes report.md, chart.svg and raw.json into a directory, which it makes.
func (r *Run) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	chart, err := r.chart()
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"raw.json": append(raw, '\n'), "chart.svg": chart,
		"report.md": r.report()} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Writable makes a directory for the files of a run, and returns an error if they could not be written there.
func Writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "soak")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// Median is the upper one of an even number of values; 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
