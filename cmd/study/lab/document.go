package lab

import (
	"fmt"
	"regexp"
	"strings"
)

// document is a report before conversion to Markdown: a list of blocks.
type document struct{ blocks []block }

// block is a heading, a paragraph, a list, a table, or a chart.
type block struct {
	level int      // of a heading: 1, 2, 3
	text  string   // of a heading or a paragraph; of a chart, what it shows
	items []string // of a list
	table [][]string
	svg   []byte
}

func (d *document) heading(level int, text string) {
	d.blocks = append(d.blocks, block{level: level, text: text})
}

func (d *document) paragraph(format string, args ...any) {
	d.blocks = append(d.blocks, block{text: fmt.Sprintf(format, args...)})
}

// list adds a list, unless it is empty.
func (d *document) list(items []string) {
	if len(items) > 0 {
		d.blocks = append(d.blocks, block{items: items})
	}
}

// table adds a table, unless it has only a head. The first row is the head.
func (d *document) table(rows [][]string) {
	if len(rows) > 1 {
		d.blocks = append(d.blocks, block{table: rows})
	}
}

func (d *document) chart(title string, svg []byte) {
	d.blocks = append(d.blocks, block{text: title, svg: svg})
}

var notInNames = regexp.MustCompile("[^a-z0-9]+")

// chartFile is the file name of a chart, relative to the report.
func chartFile(title string) string {
	return chartFolder + "/" + strings.Trim(notInNames.ReplaceAllString(strings.ToLower(title), "-"), "-") + ".svg"
}

// charts returns the document's charts by file name.
func (d *document) charts() map[string][]byte {
	files := map[string][]byte{}
	for _, x := range d.blocks {
		if x.svg != nil {
			files[chartFile(x.text)] = x.svg
		}
	}
	return files
}

// markdown converts the document to Markdown, with links to its charts.
func (d *document) markdown() []byte {
	var b strings.Builder
	for i, x := range d.blocks {
		if i > 0 {
			b.WriteByte('\n')
		}
		switch {
		case x.level > 0:
			fmt.Fprintf(&b, "%s %s\n", strings.Repeat("#", x.level), x.text)
		case x.items != nil:
			for _, item := range x.items {
				fmt.Fprintf(&b, "- %s\n", item)
			}
		case x.table != nil:
			for i, row := range x.table {
				b.WriteString("| " + strings.Join(escapedCells(row), " | ") + " |\n")
				if i == 0 {
					b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
				}
			}
		case x.svg != nil:
			fmt.Fprintf(&b, "![%s](%s)\n", x.text, chartFile(x.text))
		default:
			b.WriteString(x.text + "\n")
		}
	}
	return []byte(b.String())
}

func escapedCells(row []string) []string {
	cells := make([]string, len(row))
	for i, c := range row {
		cells[i] = strings.NewReplacer("|", `\|`, "\n", " ").Replace(c)
	}
	return cells
}
