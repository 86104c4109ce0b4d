package soak

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// report is the page.
func (r *Run) report() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Soak of %s, %s\n\n", length(r.Seconds), r.Date)
	wrap(&b, "", "Five servers in a ring under load, faults and attacks together. "+r.verdict())
	fmt.Fprintf(&b, "\n    %s\n\n", r.Command)
	machine := "On " + r.Machine + "."
	if r.Note != "" {
		machine += " The machine did other work meanwhile: " + strings.TrimRight(r.Note, ".") + "."
	}
	wrap(&b, "", machine+" All measurements are in [raw.json](raw.json).")
	b.WriteByte('\n')
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
			wrap(&b, "- ", cell(e))
		}
	}
	return b.Bytes()
}

// verdict says how many checks are met, and which are not.
func (r *Run) verdict() string {
	var missed []string
	for _, c := range r.Checks {
		if !c.Met {
			missed = append(missed, c.Wanted)
		}
	}
	scaled := ""
	if r.Scaled {
		scaled = " The run is scaled down: what depends on time is not judged."
	}
	if len(missed) == 0 {
		return fmt.Sprintf("All %d checks are met.", len(r.Checks)) + scaled
	}
	return fmt.Sprintf("**%d of %d checks are missed:** %s.", len(missed), len(r.Checks),
		strings.Join(missed, "; ")) + scaled
}

func (r *Run) attacks(b *bytes.Buffer) {
	total := int64(0)
	for _, a := range r.Attacks {
		total += a.Attempts
	}
	b.WriteString("## Attacks\n\n")
	wrap(b, "", grouped(total)+" attempts, at all five servers, all the time. A log entry is written once in 30 s for "+
		"each kind and address; two within 30 s are an error. \"Harmed\" are errors of bystanders at servers without a fault. "+
		"If attempts of a kind saw several things, each has its share. The WHATSAT flood uses up the questions that its "+
		"address may send in a day; from then on it sees LIMIT alone.")
	b.WriteByte('\n')
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

// saw is what most attempts saw, each with its share, and how many other things there were.
func saw(a Attack) string {
	all := slices.SortedFunc(maps.Keys(a.Saw), func(x, y string) int {
		return cmp.Or(cmp.Compare(a.Saw[y], a.Saw[x]), cmp.Compare(x, y))
	})
	total := 0
	for _, n := range a.Saw {
		total += n
	}
	var parts []string
	for i, what := range all {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("%d more", len(all)-i))
			break
		}
		part := "`" + cell(what) + "`"
		if len(all) > 1 {
			part += " " + percent(a.Saw[what], total)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func (r *Run) figures(b *bytes.Buffer) {
	b.WriteString("\n## Figures\n\n")
	wrap(b, "", r.flatness())
	b.WriteByte('\n')
	b.WriteString("| of one server | min | median | max | trend |\n|---|---|---|---|---|\n")
	for _, m := range measures {
		var all []float64
		var first, last float64
		for _, s := range r.Series {
			all = append(all, m.of(s)...)
			f, l, known := r.trend(s, m)
			if known && slices.Contains(r.Kept, s.Server) && (l-f > last-first || last == 0) {
				first, last = f, l
			}
		}
		if len(all) > 0 {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s to %s |\n", m.name, number(slices.Min(all)), number(Median(all)),
				number(slices.Max(all)),
				number(first), number(last))
		}
	}
	r.allWaits(b)
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

// flatness says how the trend is measured, and what it would show.
func (r *Run) flatness() string {
	text := strings.Join(r.Kept, " and ") + " were never restarted; the trend is that of the worse one. Memory rises for " +
		"the first 15 minutes or so, as the journal's memtables (up to 16 MiB twice) and Go's heap fill, and stays from then on"
	if r.long() {
		text += ": the medians of the third and of the last quarter of the run are compared."
	} else {
		text += fmt.Sprintf(". This run is shorter than 30 minutes, memory is still filling, and much is allowed: the medians "+
			"of the first and of the last sixth of the samples after %s are compared.", length(r.Warm))
	}
	for i, m := range measures {
		if spare, limited := m.spare(r); limited {
			text += fmt.Sprintf("%s %s: %.0f", []string{" At most that much more is allowed:", ";"}[min(i, 1)], m.name, spare)
		}
	}
	if len(r.Attacks) > 0 {
		each, one := r.leak()
		text += fmt.Sprintf(". The heap would show a leak of more than %s bytes for each attack, or %s for "+
			"each attack of one kind",
			grouped(int64(each+0.5)), grouped(int64(one+0.5)))
	}
	return text + "."
}

// allWaits are the waits of the whole run.
func (r *Run) allWaits(b *bytes.Buffer) {
	median, above, of := r.intervals()
	b.WriteByte('\n')
	text := fmt.Sprintf("A bystander sends ten lines a second and waits for the replies. While its own server has a fault "+
		"(it is killed, stopped or restarted), and the second after that, its waits are left out. The p99 is above %d ms in %s of "+
		"%d intervals, and %s ms in the median one.", tooLong, percent(above, of), of, number(median))
	if r.Waits == nil {
		wrap(b, "", text+" The p99 of all waits was not kept, and replies later than 2 s are among the errors alone.")
		return
	}
	wrap(b, "", text+" \"A fault elsewhere\" lasts until all servers are equal again.")
	b.WriteString("\n| wait of bystanders in ms | waits | p50 | p90 | p99 | p99.9 | longest |\n|---|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		name string
		s    Spread
	}{{"all", r.Waits.All}, {"no fault anywhere", r.Waits.Calm}, {"a fault elsewhere", r.Waits.Faulty}} {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", row.name, grouped(row.s.Waits), number(row.s.P50),
			number(row.s.P90), number(row.s.P99), number(row.s.P999), number(row.s.Max))
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

// width is the longest line of the report but for tables.
const width = 110

// wrap writes a paragraph, or an item of a list, in lines that are not too long.
func wrap(b *bytes.Buffer, first, text string) {
	line, indent := first, strings.Repeat(" ", len(first))
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		} else if i > 0 {
			line += " "
		}
		for line += word; len(line) > width; { // a word that is too long for any line
			cut := width
			for !utf8.RuneStart(line[cut]) {
				cut--
			}
			b.WriteString(line[:cut] + "\n")
			line = indent + line[cut:]
		}
	}
	b.WriteString(line + "\n")
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
