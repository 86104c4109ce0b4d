package soak

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// report is the page.
func (r *Run) report() []byte {
	var b bytes.Buffer
	verdict := "Everything was as wanted."
	if missed := len(slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool { return c.Met })); missed > 0 {
		verdict = fmt.Sprintf("**%d of %d were not as wanted.**", missed, len(r.Checks))
	}
	fmt.Fprintf(&b, "# Soak of %s, %s\n\n", length(r.Seconds), r.Date)
	fmt.Fprintf(&b, "Five servers in a ring under load, faults and attacks together. %s\n\n", verdict)
	fmt.Fprintf(&b, "    %s\n\nOn %s.\nAll measurements are in [raw.json](raw.json).\n\n", r.Command, r.Machine)
	b.WriteString("| wanted | measured | |\n|---|---|---|\n")
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Wanted, c.Measured, map[bool]string{true: "met",
			false: "**MISSED**"}[c.Met])
	}
	b.WriteString("\n![waits of bystanders, memory, descriptors, goroutines, replies and attacks over time](chart.svg)\n\n")
	r.attacks(&b)
	r.figures(&b)
	r.faults(&b)
	if len(r.Errors) > 0 {
		b.WriteString("\n## Errors\n\n")
		for _, e := range r.Errors {
			fmt.Fprintf(&b, "- %s\n", cell(e))
		}
	}
	return b.Bytes()
}

func (r *Run) attacks(b *bytes.Buffer) {
	total := int64(0)
	for _, a := range r.Attacks {
		total += a.Attempts
	}
	fmt.Fprintf(b, "## Attacks\n\n%s attempts, at all five servers, all the time. A log entry is written once in 30 s for\n"+
		"each kind and address; two within 30 s are an error. \"Harmed\" are\nerrors of bystanders at servers without a fault.\n\n",
		grouped(total))
	b.WriteString("| attack | attempts, those that a fault of the server ended | what the attacker saw | log | entries |" +
		" counter | counted | harmed |\n|---|---|---|---|---|---|---|---|\n")
	for _, a := range r.Attacks {
		fmt.Fprintf(b, "| %s: %s | %s | %s | %s | %s | %s | %s | %d |\n", a.Name, cell(a.Does), attempts(a), saw(a),
			quoted(a.Log), count(a.Log, int64(a.Entries)), quoted(a.Counter), count(a.Counter, int64(a.Counted)),
			a.Harmed)
	}
	b.WriteString("\nWhat several attacks share is counted for all of them together. What a server counted in the last\n" +
		"second before it was killed is not known.\n")
}

// attempts is how many there were, and how many of them met a fault of the server.
func attempts(a Attack) string {
	if a.Cut == 0 {
		return grouped(a.Attempts)
	}
	return grouped(a.Attempts) + ", " + grouped(a.Cut)
}

// saw is what most attempts saw, and how many other things there were.
func saw(a Attack) string {
	all := slices.SortedFunc(maps.Keys(a.Saw), func(x, y string) int {
		return cmp.Or(cmp.Compare(a.Saw[y], a.Saw[x]), cmp.Compare(x, y))
	})
	var parts []string
	for i, what := range all {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("%d more", len(all)-i))
			break
		}
		parts = append(parts, "`"+cell(what)+"`")
	}
	return strings.Join(parts, ", ")
}

func (r *Run) figures(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## Figures\n\n%s were never restarted; the trend is that of the worse one: the median of the first and of\n"+
		"the last sixth of the samples after %s.\n\n", strings.Join(r.Kept, " and "), length(r.Warm))
	b.WriteString("| of one server | min | median | max | trend |\n|---|---|---|---|---|\n")
	for _, m := range measures {
		var all []float64
		var first, last float64
		for _, s := range r.Series {
			all = append(all, m.of(s)...)
			if f, l := Trend(s.At, m.of(s), r.Warm); slices.Contains(r.Kept,
				s.Server) && (l-f > last-first || last == 0) {
				first, last = f, l
			}
		}
		if len(all) > 0 {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s to %s |\n", m.name, number(slices.Min(all)), number(Median(all)),
				number(slices.Max(all)),
				number(first), number(last))
		}
	}
	b.WriteString("\n| of all bystanders together, in each interval | min | median | max |\n|---|---|---|---|\n")
	for _, m := range []struct {
		name string
		of   func(Interval) float64
	}{
		{"wait, p50 in ms", func(i Interval) float64 { return i.P50 }}, {"wait, p99 in ms",
			func(i Interval) float64 { return i.P99 }},
		{"longest wait in ms", func(i Interval) float64 { return i.Max }}, {"replies a second",
			func(i Interval) float64 { return i.Replies }},
		{"attacks a second", func(i Interval) float64 { return i.Attacks }},
	} {
		var all []float64
		for _, i := range r.Bystanders {
			all = append(all, m.of(i))
		}
		if len(all) > 0 {
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", m.name, number(slices.Min(all)), number(Median(all)),
				number(slices.Max(all)))
		}
	}
}

func (r *Run) faults(b *bytes.Buffer) {
	b.WriteString("\n## Faults\n\n| fault | times | links live after s, median | most | equal later s, most |\n" +
		"|---|---|---|---|---|\n")
	byKind := map[string][]Fault{}
	for _, f := range r.Faults {
		byKind[f.Kind] = append(byKind[f.Kind], f)
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		var live, agreed []float64
		for _, f := range byKind[kind] {
			live, agreed = append(live, f.Live), append(agreed, f.Agreed)
		}
		fmt.Fprintf(b, "| %s | %d | %.1f | %.1f | %.1f |\n", kind, len(live), Median(live), slices.Max(live),
			slices.Max(agreed))
	}
}

// measure is one measurement of a server.
type measure struct {
	name string
	of   func(Series) []float64
}

var measures = []measure{
	{"resident memory, MiB", func(s Series) []float64 { return s.Resident }},
	{"heap in use, MiB", func(s Series) []float64 { return s.Heap }},
	{"descriptors", func(s Series) []float64 { return s.Descriptors }},
	{"goroutines", func(s Series) []float64 { return s.Goroutines }},
	{"journal, MiB", func(s Series) []float64 { return s.Journal }},
	{"log files, MiB", func(s Series) []float64 { return s.Log }},
}

// cell makes a text fit for a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "`", "'", "\n", " ").Replace(text)
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func count(of string, n int64) string {
	if of == "" {
		return ""
	}
	return grouped(n)
}

// grouped is a number with a comma for each three digits.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func number(v float64) string {
	if v >= 100 {
		return grouped(int64(v + 0.5))
	}
	return fmt.Sprintf("%.1f", v)
}

// length is a duration in the largest unit that fits.
func length(seconds float64) string {
	if seconds < 180 {
		return fmt.Sprintf("%.0f seconds", seconds)
	}
	return fmt.Sprintf("%.0f minutes", seconds/60)
}
