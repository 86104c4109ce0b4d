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
	count bool     // the items are numbered
	table [][]string
	svg   []byte
	file  string // of a chart, relative to the report
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

// numbered adds a numbered list.
func (d *document) numbered(items []string) {
	d.blocks = append(d.blocks, block{items: items, count: true})
}

// reserve adds an empty paragraph, to be filled later.
func (d *document) reserve() int {
	d.blocks = append(d.blocks, block{})
	return len(d.blocks) - 1
}

// contents are links to the headings of level 2.
func (d *document) contents() string {
	var links []string
	for _, x := range d.blocks {
		if x.level == 2 {
			links = append(links, fmt.Sprintf("[%s](#%s)", x.text, anchor(x.text)))
		}
	}
	return strings.Join(links, " · ")
}

// anchor is the link to a heading, as GitHub makes it.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// picture adds a chart, or a paragraph that says why there is none; nothing if there is nothing to draw.
func (d *document) picture(name, title string, draw func() ([]byte, error)) {
	svg, err := draw()
	if d.attempt(err); svg != nil && err == nil {
		d.chart(name, title, svg)
	}
}

// attempt adds a paragraph about a chart that could not be drawn.
func (d *document) attempt(err error) {
	if err != nil {
		d.paragraph("There is no %v.", err)
	}
}

// table adds a table, unless it has only a head. The first row is the head.
func (d *document) table(rows [][]string) {
	if len(rows) > 1 {
		d.blocks = append(d.blocks, block{table: rows})
	}
}

// chart adds a chart. Its name is that of the file.
func (d *document) chart(name, title string, svg []byte) {
	d.blocks = append(d.blocks, block{text: title, svg: svg, file: chartFile(name)})
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9\-_ ]`)

var notInNames = regexp.MustCompile("[^a-z0-9]+")

// chartFile is the file name of a chart, relative to the report.
func chartFile(name string) string {
	return chartFolder + "/" + strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-") + ".svg"
}

// charts returns the document's charts by file name.
func (d *document) charts() map[string][]byte {
	files := map[string][]byte{}
	for _, x := range d.blocks {
		if x.svg != nil {
			files[x.file] = x.svg
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
			for i, item := range x.items {
				mark := "-"
				if x.count {
					mark = fmt.Sprintf("%d.", i+1)
				}
				fmt.Fprintf(&b, "%s %s\n", mark, item)
			}
		case x.table != nil:
			for i, row := range x.table {
				b.WriteString("|" + strings.Join(escapedCells(row), "|") + "|\n")
				if i == 0 {
					b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
				}
			}
		case x.svg != nil:
			fmt.Fprintf(&b, "![%s](%s)\n", x.text, x.file)
		default:
			b.WriteString(x.text + "\n")
		}
	}
	return []byte(b.String())
}

// escapedCells are cells with a space at each side, or one space.
func escapedCells(row []string) []string {
	cells := make([]string, len(row))
	for i, c := range row {
		cells[i] = strings.Replace(" "+strings.NewReplacer("|", `\|`, "\n", " ").Replace(c)+" ", "  ", " ", 1)
	}
	return cells
}
