package lab

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page converts a report to one HTML file with its charts in it.
func (d *document) page() ([]byte, error) {
	var body bytes.Buffer
	convert := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	if err := convert.Convert(d.markdown(), &body); err != nil {
		return nil, fmt.Errorf("report.html: %w", err)
	}
	text := body.String()
	title := ""
	for _, x := range d.blocks {
		switch {
		case x.level == 1:
			title = x.text
		case x.svg != nil:
			picture := regexp.MustCompile(`<p><img src="` + regexp.QuoteMeta(x.file) + `" alt="[^"]*"></p>`)
			text = picture.ReplaceAllLiteralString(text, "<figure>"+inline(x.text, x.svg)+"</figure>")
		}
	}
	text = strings.NewReplacer("<table>", `<div class="table"><table>`, "</table>", "</table></div>").Replace(text)
	var page bytes.Buffer
	err := pageTemplate.Execute(&page, struct {
		Title string
		Body  template.HTML
	}{title, template.HTML(text)}) // #nosec G203 -- goldmark has escaped all text, and the charts are the study's own
	return page.Bytes(), err
}

// inline is a chart without what only a file needs, and with a description.
func inline(title string, svg []byte) string {
	_, text, _ := strings.Cut(string(svg), "<svg")
	return `<svg role="img" aria-label="` + template.HTMLEscapeString(title) + `"` + text
}
