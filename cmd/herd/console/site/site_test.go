package site

import (
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func get(f *Files, path string, header ...string) *http.Response {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result()
}

// Each file has a type, a policy and a tag, is sent compressed to those who accept that, and not at all to those who
// have it.
func TestFiles(t *testing.T) {
	f := New()
	for _, path := range slices.Sorted(maps.Keys(f.byPath)) {
		var texts []string
		var tags []string
		for _, accept := range []string{"", "gzip, deflate, br", "br;q=1.0, gzip;q=0.5", "gzip;q=0", "x-gzip"} {
			got := get(f, path, "Accept-Encoding", accept)
			body := io.Reader(got.Body)
			small := got.Header.Get("Content-Encoding") == "gzip"
			if want := strings.Contains(accept, "gzip,") || strings.Contains(accept, "gzip;q=0.5"); small != want {
				t.Errorf("%s for %q: compressed %v", path, accept, small)
			}
			if small {
				var err error
				if body, err = gzip.NewReader(body); err != nil {
					t.Fatal(err)
				}
			}
			text, err := io.ReadAll(body)
			kind := got.Header.Get("Content-Type")
			if err != nil || got.StatusCode != 200 || kind == "" || strings.HasSuffix(path, ".js") != strings.HasPrefix(kind, "text/javascript") {
				t.Errorf("%s: %d %s %v", path, got.StatusCode, kind, err)
			}
			if got.Header.Get("Content-Security-Policy") != Policy || got.Header.Get("Cache-Control") != "no-cache" || got.Header.Get("Vary") == "" {
				t.Errorf("%s: %v", path, got.Header)
			}
			tag := got.Header.Get("ETag")
			for _, have := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
				if again := get(f, path, "Accept-Encoding", accept, "If-None-Match", have); again.StatusCode != 304 || again.ContentLength > 0 {
					t.Errorf("%s with %s: %d", path, have, again.StatusCode)
				}
			}
			if again := get(f, path, "Accept-Encoding", accept, "If-None-Match", `"x"`); again.StatusCode != 200 {
				t.Errorf("%s with another tag: %d", path, again.StatusCode)
			}
			texts, tags = append(texts, string(text)), append(tags, tag)
		}
		if len(slices.Compact(texts)) != 1 || tags[0] == tags[1] {
			t.Errorf("%s: the text depends on the encoding, or the tag does not: %v", path, tags)
		}
	}
	for _, path := range []string{"/page/", "/page/index.html", "/page/../site.go", "/page/nothing.js", "/index.html"} {
		if got := get(f, path); got.StatusCode != 404 || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
}

// All files together are small.
func TestSize(t *testing.T) {
	n := 0
	for _, one := range New().byPath {
		n += len(one.small)
	}
	t.Logf("%d bytes compressed", n)
	if n > 400_000 {
		t.Errorf("%d bytes compressed", n)
	}
}

var (
	reference = regexp.MustCompile(`(?:href|src)="(/page/[^"]*)"`)
	imported  = regexp.MustCompile(`from "\./([^"]*)"`)
	forbidden = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc|javascript:|eval\(|new Function|style=|onclick=|https?://[^w]`)
)

// What files refer to is there, index.html asks for every module at once, and none makes HTML of text or needs another
// site.
func TestReferences(t *testing.T) {
	f := New()
	index := string(f.byPath["/"].text)
	for _, m := range reference.FindAllStringSubmatch(index, -1) {
		if _, ok := f.byPath[m[1]]; !ok {
			t.Errorf("index.html refers to %s", m[1])
		}
	}
	for path, one := range f.byPath {
		if strings.HasSuffix(path, ".bin") {
			continue // land.js asks for it when it is needed
		}
		if path != "/" && !strings.Contains(index, `"`+path+`"`) {
			t.Errorf("index.html does not refer to %s", path)
		}
		for _, m := range imported.FindAllStringSubmatch(string(one.text), -1) {
			if _, ok := f.byPath[Root+m[1]]; !ok {
				t.Errorf("%s imports %s", path, m[1])
			}
		}
		if bad := forbidden.Find(one.text); bad != nil {
			t.Errorf("%s contains %s", path, bad)
		}
	}
}
