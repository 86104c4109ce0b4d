package lab

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// comparing is a row of two binaries. Values of the first are by a factor of those of the second, which differ
// from round to round.
func comparing(e *Experiment, factor map[string]float64) *Experiment {
	e.Measure = func(_ context.Context, _ *Bench, r Run) (Values, error) {
		v := Values{}
		for _, f := range e.Figures {
			v[f.Name] = 10 + float64(r.Round)
			if by, ok := factor[f.Name]; ok && r.Subject == thisHerd {
				v[f.Name] *= by
			}
		}
		return v, nil
	}
	return e
}

// The second binary is measured in turn with the first, and there are a comparison and targets.
func TestTwoBinaries(t *testing.T) {
	dir := t.TempDir()
	rows := []*Experiment{
		comparing(updates(), map[string]float64{"CPU per application": 0.7, "accepted": 1.5, "propagation p99": 0.125,
			"longest without a check": 1.5}),
		comparing(copying(), map[string]float64{"longest turn": 3}),
	}
	o := Options{Herd: "new", Version: "v2", Against: "old", Other: "v1", Out: dir, Progress: io.Discard}
	if err := run(context.Background(), o, rows); err != nil {
		t.Fatal(err)
	}
	r, err := readResults(filepath.Join(dir, rawFile))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range r.Rows[0].Samples[:2*len(rows[0].Settings)+2] {
		order = append(order, s.Subject)
	}
	if first := order[:2]; !slices.Equal(first, bothHerds) || order[len(order)-2] != otherHerd {
		t.Errorf("the order of runs is %q", order)
	}
	report := contents(t, dir)[markdownFile]
	for _, want := range []string{
		"**What does an update cost a herd of five, at low and at high load?** Comparisons: herd is better in ",
		"| CPU per application | 10 k/s, logged | herd to against | 0.70 (0.70 to 0.70) | herd |",
		"| CPU per accepted update | 10 k/s, logged | herd to against | 1.00 (1.00 to 1.00) | alike |",
		"| longest turn | 1 M records | herd to against | 3.00 (3.00 to 3.00) | against |",
		"| against the other binary, 10 k/s, logged: CPU per application | herd | against | at most 0.6 | 0.7 [0.7, 0.7] | missed by 17 % |",
		"| against the other binary, 40 k/s, logged: CPU per application | herd | against | at most 0.75 | 0.7 [0.7, 0.7] | met in every run |",
		"| against the other binary, saturated, not logged: accepted | herd | against | at least 1.25 | 1.50 [1.50, 1.50] | met in every run |",
		"| 10 k/s, logged: longest without a check | herd | | at most 10 s, of any link | 18 [15, 21] | missed by 80 % |",
		"| 10 k/s, logged: propagation p99 | herd | | at most 3 ms | 1.50 [1.25, 1.75] | met in every run |",
		"| a copy of 1,000,000 records: longest turn | herd | | at most 20 ms | 36 [30, 42] | missed by 80 % |",
		"herd v2, ", "Compared with herd v1.",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if strings.Contains(report, "not measured") {
		t.Error("a target names a figure or a setting that does not exist")
	}
	if t.Failed() {
		t.Log(report)
	}
}

// Without a second binary there is only the first, and nothing is said of the other.
func TestOneBinary(t *testing.T) {
	dir := t.TempDir()
	rows := []*Experiment{comparing(updates(), nil), comparing(copying(), nil)}
	if err := run(context.Background(), Options{Herd: "new", Out: dir, Progress: io.Discard}, rows); err != nil {
		t.Fatal(err)
	}
	report := contents(t, dir)[markdownFile]
	if !strings.Contains(report, "| CPU per application, us of all servers | herd |\n") ||
		!strings.Contains(report, "| a copy of 1,000,000 records: longest turn | herd |") {
		t.Errorf("the report has no figures or no targets:\n%s", report)
	}
	if strings.Contains(report, "| against") || strings.Contains(report, "to against") || strings.Contains(report, "Compared with") {
		t.Errorf("the report speaks of a second binary:\n%s", report)
	}
}

// A second binary is an error if no row measures it.
func TestAgainstNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	o := Options{Against: "old", Out: dir, Progress: io.Discard}
	if err := run(context.Background(), o, []*Experiment{fake("race")}); !errors.Is(err, ErrNotCompared) {
		t.Errorf("the study ended with %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("there is a report")
	}
}
