package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// format is the version of raw.json.
const format = 1

// Results is the content of raw.json.
type Results struct {
	Format int      `json:"format"`
	Rules  []string `json:"rules"` // as stated before the first run of the latest rows
	Rows   []*Data  `json:"rows"`  // in the order of All
}

// Data has the measurements of one row.
type Data struct {
	Row
	Environment Environment   `json:"environment"`
	Begun       time.Time     `json:"begun"`
	Took        time.Duration `json:"took_ns"`
	Rounds      int           `json:"rounds"`    // planned
	Length      time.Duration `json:"length_ns"` // of one measurement
	Quick       bool          `json:"quick,omitempty"`
	Interrupted bool          `json:"interrupted,omitempty"`
	Notes       Notes         `json:"notes,omitempty"`
	Stated      Stated        `json:"stated"` // the commit of the rules when the row was measured
	Samples     []Sample      `json:"samples"`
	Skipped     []Skipped     `json:"skipped,omitempty"`
}

// Sample is the result of one run.
type Sample struct {
	Subject string `json:"subject"`
	Setting string `json:"setting"` // its label
	Round   int    `json:"round"`
	// Begun is when the run began, to the second; zero in older data.
	Begun  time.Time `json:"begun,omitzero"`
	Values Values    `json:"values,omitempty"`
	Void   string    `json:"void,omitempty"`  // why it was discarded
	Error  string    `json:"error,omitempty"` // why it failed
}

// Skipped is a subject, or without Subject the row, that was not run.
type Skipped struct {
	Subject string `json:"subject,omitempty"`
	Why     string `json:"why"`
}

// values returns the values of a figure by round.
func (d *Data) values(subject, setting, figure string) map[int]float64 {
	all := map[int]float64{}
	for _, s := range d.Samples {
		if v, ok := s.Values[figure]; ok && s.Subject == subject && s.Setting == setting {
			all[s.Round] = v
		}
	}
	return all
}

// summary summarizes a figure.
func (d *Data) summary(subject, setting, figure string) Summary {
	var all []float64
	for _, v := range d.values(subject, setting, figure) {
		all = append(all, v)
	}
	return summarize(all)
}

// paired compares two subjects round by round.
func (d *Data) paired(a, b, setting, figure string) Estimate {
	return paired(d.values(a, setting, figure), d.values(b, setting, figure))
}

// ratio summarizes the ratios of two subjects, of runs of the same round.
func (d *Data) ratio(a, b, setting, figure string) Summary {
	var all []float64
	against := d.values(b, setting, figure)
	for round, v := range d.values(a, setting, figure) {
		if w, ok := against[round]; ok && w != 0 {
			all = append(all, v/w)
		}
	}
	return summarize(all)
}

// figure finds a figure by name.
func (d *Data) figure(name string) (Figure, bool) {
	i := slices.IndexFunc(d.Figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		return Figure{}, false
	}
	return d.Figures[i], true
}

// row finds a row by name; nil if there is none.
func (r *Results) row(name string) *Data {
	i := slices.IndexFunc(r.Rows, func(d *Data) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return r.Rows[i]
}

// put adds or replaces a row, and keeps the order of names.
func (r *Results) put(d *Data, order []string) {
	r.Rows = slices.DeleteFunc(r.Rows, func(old *Data) bool { return old.Name == d.Name })
	r.Rows = append(r.Rows, d)
	slices.SortStableFunc(r.Rows, func(a, b *Data) int {
		return slices.Index(order, a.Name) - slices.Index(order, b.Name)
	})
}

// readResults reads a raw.json. If it does not exist, there are no rows.
func readResults(file string) (*Results, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &Results{Format: format}, nil
	}
	if err != nil {
		return nil, err
	}
	var r Results
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Format != format {
		return nil, fmt.Errorf("%s: unsupported format %d, expected %d", file, r.Format, format)
	}
	return &r, nil
}

// save writes a file atomically.
func save(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
