// Package site is the files of the console's page. They are in the binary: ES modules and style sheets that a browser
// loads as they are. Each file has one job:
//
//	index.html     the frame of the page; views are made by modules
//	main.js        connects the parts
//	connection.js  /ws: connects again and again, and says what comes and in which state it is
//	login.js       the button that ends a login; the page for it is login.html with login.css, see Login
//	fragment.js    the URL's fragment: what a link to the page shows
//	theme.js       light or dark
//	dom.js         makes and changes elements; text is never HTML
//	format.js      numbers for people
//	state.js       the state of the herd in words
//	views.js       the views, of which one is shown; describes what a view is
//	herd.js        the Herd view: draws its parts when a state comes
//	layout.js      where servers are in the drawing
//	drawing.js     the drawing of servers and links
//	cards.js       the servers in words and numbers
//	links.js       the table of links
//	map.js         the Map view: draws its parts when something has changed
//	camera.js      which part of the world the map shows: the projection
//	land.js        draws the coastlines of land-110m.bin and land-50m.bin, which command coastline makes
//	dots.js        where the clients are, from the binary messages of /ws
//	paint.js       draws them as pixels
//	ages.js        how an age looks and reads; legend.js: the legend
//	gestures.js    mouse, fingers and keys on the map
//	names.js       asks for the ids of dots
//	find.js        the search for a client
//	tip.js         which client is under the mouse
//	selection.js   the selected client: on the map, in the fragment and in the inspector
//	inspector.js   what is known about one client
//	ids.js         ids in the fragment and as text
//	times.js       UTC or local time
//	replay.js      the Replay view: how an update spreads
//	floodstate.js  what a flood looks like at one of its steps: pure functions
//	captions.js    its steps in words; story.js: the list of them
//	flooddrawing.js  the drawing of the herd with AT lines on their way
//	player.js      moves from step to step; controls.js: buttons and keys for that
//	timeline.js    the floods of the last minute
//	flood.js       the last flood of a client, as the console has it, and as a tree for the inspector
//	try.js         the Try it view: sends lines to servers; replies.js: explains what they answer
//	send.js        sends a line by /send, and takes the reply apart
//	places.js      places near a client: a list, and what the inspector has of them
//	base.css       colors, type, frame; herd.css, map.css, try.css, replay.css: the views
//
// Another view is a module like herd.js with files of its own, in the list of main.js.
package site

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Policy is the Content-Security-Policy of all files. Nothing but the console's own files and connections is loaded,
// nothing that is inline runs, and text cannot become HTML.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Root is the path of all files but index.html, which is at "/".
const Root = "/page/"

//go:embed assets
var assets embed.FS

var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".bin": "application/octet-stream",
}

// Files are the files of the page. Any goroutine.
type Files struct {
	version string
	byPath  map[string]file
}

// file is a file of the page as it is sent.
type file struct {
	kind        string // Content-Type
	text, small []byte // small is text compressed by gzip
	tag         string // of text
}

// New reads the files.
func New() *Files {
	f := &Files{byPath: make(map[string]file)}
	all := sha256.New()
	err := fs.WalkDir(assets, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := assets.ReadFile(name)
		at := Root + strings.TrimPrefix(name, "assets/")
		if at == Root+"index.html" {
			at = "/"
		}
		sum := sha256.Sum256(text)
		all.Write(sum[:])
		f.byPath[at] = file{types[path.Ext(name)], text, compressed(text), hex.EncodeToString(sum[:8])}
		return err
	})
	if err != nil {
		panic(err) // they are in the binary
	}
	f.version = hex.EncodeToString(all.Sum(nil)[:8])
	return f
}

func compressed(text []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

// Version identifies the content of all files.
func (f *Files) Version() string { return f.version }

// ServeHTTP implements http.Handler for GET and HEAD. A browser keeps the files and asks each time whether they are
// still the same, so a page never consists of files of two versions for longer than its loading takes.
func (f *Files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	one, ok := f.byPath[r.URL.Path]
	if !ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"no such file of the page"}` + "\n"))
		return
	}
	text, tag := one.text, `"`+one.tag+`"`
	h := w.Header()
	if acceptsGzip(r) {
		text, tag = one.small, `"`+one.tag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", Policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("ETag", tag)
	h.Set("Vary", "Accept-Encoding")
	if matches(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", one.kind)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // not for HEAD, says net/http
}

// acceptsGzip reports whether a request accepts gzip, by the rules of browsers: "gzip;q=0" does not.
func acceptsGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.ReplaceAll(one, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" || weight == ""
		}
	}
	return false
}

// matches reports whether a tag is one of an If-None-Match.
func matches(tags, tag string) bool {
	for one := range strings.SplitSeq(tags, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
