package lab

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The summary's chart names every workload, shows wins in the winner's color, and cuts intervals that are too
// long for it.
func TestForest(t *testing.T) {
	duel := []measured{}
	for i, v := range []Verdict{FirstIs, SecondIs, Undecided} {
		duel = append(duel, measured{
			workload{group: "Lines", name: fmt.Sprintf("workload %d", i)},
			&Comparison{Figure: Figure{Better: Higher}, First: "loop", Second: "goroutines", Verdict: v,
				Ratio: Estimate{N: 9, Mean: []float64{1.5, 0.5, 1.1}[i], Low: []float64{1.4, 0.4, 0.01}[i], High: []float64{1.6, 0.6, 99}[i]}},
		})
	}
	svg, err := forest(duel)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{">workload 0<", ">workload 1<", ">workload 2<", ">Lines<",
		">1.50 (1.40 to 1.60)<", ">2.00 (1.67 to 2.50)<",
		">1.10 (0.01 to 99.0)<", "goroutines better<", ">event loop better", duelTitle, "#0072B2", "#D55E00", "#59636E"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the chart does not have %q", want)
		}
	}
	for _, x := range regexp.MustCompile(`<path d="M(-?[0-9.]+),`).FindAllStringSubmatch(string(svg), -1) {
		var at float64
		if fmt.Sscan(x[1], &at); at < 0 || at > float64(chartWidth) {
			t.Errorf("something is drawn at %v, outside the chart", at)
		}
	}
	if svg, err := forest(nil); svg != nil || err != nil {
		t.Errorf("without workloads there is a chart: %v", err)
	}
}

// The longest bar, with its interval, reaches the end of the axis.
func TestSteps(t *testing.T) {
	for greatest, want := range map[float64]string{
		100: "0 20 40 60 80 100", 118: "0 20 40 60 80 100", 7: "0 2 4 6", 754_000: "0 200000 400000 600000", 0.9: "0 0.2 0.4 0.6 0.8",
	} {
		ticks, end := steps(greatest)
		var all []string
		for _, x := range ticks {
			all = append(all, number(x))
		}
		if got := strings.Join(all, " "); got != want || end < greatest || end > 1.05*greatest {
			t.Errorf("an axis to %v has ticks at %s and ends at %v, want %s", greatest, got, end, want)
		}
	}
}

// Categories have bars from 0, with a heading for each setting; on a logarithmic axis there are dots.
func TestBars(t *testing.T) {
	settings := []Setting{{Label: "at one", X: 1}, {Label: "at all", X: 5}}
	d := made(Higher, settings, map[string]map[string][]float64{
		"goroutines": {"at one": {10, 20, 30}, "at all": {1000, 2000, 3000}}, "loop": {"at one": {15, 25, 35}},
	})
	all := barsOf(d, d.Figures[0], settings)
	var labels []string
	for _, b := range all {
		labels = append(labels, b.label+" "+b.value())
	}
	const want = "at one |goroutines 20 (10 to 30)|loop 25 (15 to 35)|at all |goroutines 2 k (1 k to 3 k)"
	if got := strings.Join(labels, "|"); got != want {
		t.Errorf("bars are %s, want %s", got, want)
	}
	for _, log := range []bool{false, true} {
		svg, err := drawBars("Speed", "m/s", all, log)
		if err != nil || !strings.Contains(string(svg), ">at all<") {
			t.Errorf("log %v: %v:\n%s", log, err, svg)
		}
		if zero := strings.Contains(string(svg), ">0<"); zero == log {
			t.Errorf("log %v: the axis begins at 0: %v", log, zero)
		}
	}
	if svg, err := drawBars("Speed", "m/s", nil, false); svg != nil || err != nil {
		t.Errorf("without bars there is a chart: %v", err)
	}
}
