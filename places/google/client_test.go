package google

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	const (
		form   = "places.base_url: expected a scheme and a host, such as https://maps.googleapis.com"
		scheme = "places.base_url: https is required, except for this machine"
	)
	for base, want := range map[string]string{
		"":                               "",
		"https://places.example":         "",
		"https://places.example:8443/":   "",
		"http://127.0.0.1:8080":          "",
		"http://127.1.2.3":               "",
		"http://[::1]:8080":              "",
		"http://localhost:8080":          "",
		"HTTP://localhost":               "",
		"http://LocalHost.:8080":         "",
		"http://places.example":          scheme,
		"http://localhost.example":       scheme,
		"http://10.0.0.1":                scheme,
		"ftp://localhost":                scheme,
		"localhost:8080":                 form,
		"places.example":                 form,
		"https://":                       form,
		"https://:443":                   form,
		"https://places.example/proxy":   form,
		"https://places.example?key=x":   form,
		"https://places.example#a":       form,
		"https://user@places.example":    form,
		"https://places.example:port":    form,
		"https://places.example/\x7f":    form,
		"https://u:" + marker + "@a.com": form,
	} {
		l, err := NewLegacy(Options{Key: marker, BaseURL: base})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", base, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%q: %v, want %q", base, err, want)
		case want == "" && (l.client.timeout != 5*time.Second || transport(l).Proxy != nil):
			t.Errorf("%q: timeout %v, or a proxy", base, l.client.timeout)
		}
	}
	if _, err := NewLegacy(Options{}); err == nil || !strings.Contains(err.Error(), "no API key") {
		t.Error(err)
	}
}

func transport(l *Legacy) *http.Transport { return l.client.http.Transport.(*http.Transport) }

func TestKeyIsNotPrinted(t *testing.T) {
	o := Options{Key: marker}
	l, err := NewLegacy(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{o.Key, &o.Key, o, &o, l, *l, []Key{o.Key}, struct{ k *Legacy }{l}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
			text := fmt.Sprintf(verb, v)
			hex := fmt.Sprintf("%x", marker)
			if strings.Contains(text, marker) || strings.Contains(strings.ToLower(text), hex) {
				t.Errorf("%s of %T prints %s", verb, v, text)
			}
		}
		if text, _ := json.Marshal(v); strings.Contains(string(text), marker) {
			t.Errorf("%T becomes %s", v, text)
		}
	}
	text, err := json.Marshal(o.Key)
	if err != nil || string(text) != `"[key]"` || o.Key.String() != redacted {
		t.Errorf("%s, %v, %s", text, err, o.Key.String())
	}
}
