package site

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html"
	"strings"
)

//go:embed login.html
var loginHTML string

//go:embed login.css
var loginCSS string

// loginStyle is in the page itself: who has not logged in gets no other file.
var loginStyle = func() string {
	base, err := assets.ReadFile("assets/base.css")
	if err != nil {
		panic(err) // it is in the binary
	}
	return string(base) + loginCSS
}()

// LoginPolicy is the Content-Security-Policy of the page that Login returns.
var LoginPolicy = func() string {
	sum := sha256.Sum256([]byte(loginStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}()

// Login returns the page that asks for a token. It needs no script. Problem says why the last one was refused; it may be
// empty.
func Login(herd, server, problem string) []byte {
	if problem != "" {
		problem = strings.ToUpper(problem[:1]) + problem[1:] + "."
		problem = `<p class="problem" role="alert">` + html.EscapeString(problem) + "</p>"
	}
	title := html.EscapeString("Herd " + herd + ", " + server)
	return []byte(strings.NewReplacer("{{title}}", title, "{{style}}", loginStyle, "{{problem}}", problem).Replace(loginHTML))
}
