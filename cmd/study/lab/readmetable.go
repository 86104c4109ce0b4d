package lab

import (
	"cmp"
	"fmt"
	"slices"
)

// readmeTable is the table of figures in README.md. It has the columns of the herd if they were measured; it is
// empty if nothing was.
func readmeTable(r *Results) [][]string {
	const thousands, herd, herdCost = "k replies/s, ", "five servers: k updates/s until equal", "CPU us an update applied everywhere"
	one, many := fewConns+loggedOne, fewConns+loggedMany
	d, five := r.row("throughput"), r.row("herd-peers")
	if d == nil {
		return nil
	}
	head := []string{"", thousands + loggedOne, thousands + loggedMany, "CPU us a reply, " + loggedMany}
	whole := five != nil && five.summary("loop", atFixedRate, costEverywhere).N > 0
	if whole {
		head = append(head, herd, herdCost)
	}
	table := [][]string{head}
	for _, row := range [][2]string{
		{"engine `loop`", "loop"}, {"engine `goroutines`", "goroutines"}, {"peer on Twisted", twisted}, {redis, redis},
		{"bare gnet loop, parser and map", bareLoop},
	} {
		cells := []string{
			inThousands(d.summary(row[1], one, "replies")), inThousands(d.summary(row[1], many, "replies")),
			figureOf(d.summary(row[1], many, "CPU per reply")),
		}
		if whole {
			cells = append(cells, inThousands(five.summary(row[1], atAll, untilEqual)),
				figureOf(five.summary(row[1], atFixedRate, costEverywhere)))
		}
		if slices.ContainsFunc(cells, func(c string) bool { return c != "" }) {
			table = append(table, append([]string{row[0]}, cells...))
		}
	}
	return table
}

// readmeCaption says of the table on what it was measured. README.md has it word by word.
func readmeCaption(r *Results) string {
	d := r.row("throughput")
	return fmt.Sprintf("Measured on %d cores of %s, shared by servers and loader: medians of %d rounds.", d.Environment.Affinity,
		cmp.Or(d.Environment.CPU, "an unknown CPU"), d.Rounds)
}

func inThousands(s Summary) string {
	if s.N == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", s.Median/1000)
}

func figureOf(s Summary) string {
	if s.N == 0 {
		return ""
	}
	return number(s.Median)
}
