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
	Rules  []string `json:"rules"` // as stated before the first run
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
	Samples     []Sample      `json:"samples"`
	Skipped     []Skipped     `json:"skipped,omitempty"`
}

// Sample is the result of one run.
type Sample struct {
	Subject string `json:"subject"`
	Setting string `json:"setting"` // its label
	Round   int    `json:"round"`
	Values  Values `json:"values,omitempty"`
	Void    string `json:"void,omitempty"`  // why it was discarded
	Error   string `json:"error,omitempty"` // why it failed
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

// ratio summarizes the ratios of two subjects, round by round.
func (d *Data) ratio(a, b, setting, figure string) Summary {
	return summarize(ratios(d.values(a, setting, figure), d.values(b, setting, figure)))
}

// relation compares two subjects round by round.
func (d *Data) relation(a, b, setting, figure string) Relation {
	return relate(d.values(a, setting, figure), d.values(b, setting, figure))
}

// figure finds a figure by name.
func (d *Data) figure(name string) (Figure, bool) {
	i := slices.IndexFunc(d.Figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		return Figure{}, false
	}
	return d.Figures[i], true
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
