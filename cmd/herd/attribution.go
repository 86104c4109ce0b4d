package main

import (
	"html"
	"regexp"
	"strings"
)

var (
	anchor = regexp.MustCompile(`(?is)<a\s[^>]*href\s*=\s*["']?([^"'\s>]+)["']?[^>]*>(.*?)</a\s*>`)
	tag    = regexp.MustCompile(`<[^>]*>`)
)

// fromHTML converts an HTML attribution to plain text. A link becomes its text and URL.
func fromHTML(text string) string {
	text = tag.ReplaceAllString(anchor.ReplaceAllString(text, "$2 ($1)"), "")
	return strings.Join(strings.Fields(html.UnescapeString(text)), " ")
}
