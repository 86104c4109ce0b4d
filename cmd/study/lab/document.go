package lab

import (
	"fmt"
	"html"
	"strings"
)

// document is a report before it is Markdown or HTML: blocks, one after the other.
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

// list adds a list, if there is anything in it.
func (d *document) list(items []string) {
	if len(items) > 0 {
		d.blocks = append(d.blocks, block{items: items})
	}
}

// table adds a table whose first row is its head, if there are others.
func (d *document) table(rows [][]string) {
	if len(rows) > 1 {
		d.blocks = append(d.blocks, block{table: rows})
	}
}

func (d *document) chart(title string, svg []byte) {
	d.blocks = append(d.blocks, block{text: title, svg: svg})
}

// markdown is the document without its charts.
func (d *document) markdown() []byte {
	var b strings.Builder
	for i, x := range d.blocks {
		if x.svg != nil {
			continue
		}
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

// style makes a page that needs nothing from elsewhere.
const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-size:14px;font-variant-numeric:tabular-nums}
th,td{border:1px solid #ccc;padding:.25rem .5rem;text-align:left;vertical-align:top}th{background:#f4f4f4}
figure{display:inline-block;margin:.5rem}figcaption{font-size:14px;max-width:30rem}svg{max-width:100%;height:auto}`

// html is the whole document, charts inline.
func (d *document) html() []byte {
	var b strings.Builder
	e := html.EscapeString
	fmt.Fprintf(&b, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width\">\n<title>%s</title>\n<style>%s</style>\n",
		e(d.title()), style)
	for _, x := range d.blocks {
		switch {
		case x.level > 0:
			fmt.Fprintf(&b, "<h%d>%s</h%d>\n", x.level, e(x.text), x.level)
		case x.svg != nil:
			fmt.Fprintf(&b, "<figure>%s<figcaption>%s</figcaption></figure>\n", x.svg, e(x.text))
		case x.items != nil:
			b.WriteString("<ul>\n")
			for _, item := range x.items {
				fmt.Fprintf(&b, "<li>%s</li>\n", e(item))
			}
			b.WriteString("</ul>\n")
		case x.table != nil:
			b.WriteString("<table>\n")
			for i, row := range x.table {
				cell := "td"
				if i == 0 {
					cell = "th"
				}
				b.WriteString("<tr>")
				for _, c := range row {
					fmt.Fprintf(&b, "<%s>%s</%s>", cell, e(c), cell)
				}
				b.WriteString("</tr>\n")
			}
			b.WriteString("</table>\n")
		default:
			fmt.Fprintf(&b, "<p>%s</p>\n", e(x.text))
		}
	}
	return []byte(b.String())
}

// title is the first heading.
func (d *document) title() string {
	for _, x := range d.blocks {
		if x.level > 0 {
			return x.text
		}
	}
	return ""
}
