package googletest

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"serverherd/places"
)

// asked is a request as it must be, or not quite: each change is what stands for what.
func asked(d Dialect, changes ...string) *http.Request {
	request := "GET " + legacyPath + "?key=" + Key + "&location=-1.5%2C0&radius=2000 HTTP/1.1\r\n" +
		"Host: h\r\nUser-Agent: serverherd\r\nAccept-Encoding: gzip\r\n\r\n"
	if d == NewAPI {
		body := `{"locationRestriction":{"circle":{"center":{"latitude":-1.5,"longitude":0},` +
			`"radius":2000}},"maxResultCount":20,"rankPreference":"DISTANCE"}`
		request = "POST " + newPath + " HTTP/1.1\r\nHost: h\r\nUser-Agent: serverherd\r\n" +
			"Accept-Encoding: gzip\r\nContent-Type: application/json\r\n" +
			"X-Goog-Api-Key: " + Key + "\r\nX-Goog-Fieldmask: places." +
			strings.Join(Fields, ",places.") + ",places.rating\r\n\r\n" + body
	}
	request = strings.NewReplacer(changes...).Replace(request)
	head, body, _ := strings.Cut(request, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	first := strings.Fields(lines[0])
	r := httptest.NewRequest(first[0], first[1], strings.NewReader(body))
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	if d == NewAPI {
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return r
}

// The server understands what is right, and takes nothing else.
func TestUnderstand(t *testing.T) {
	query := places.Query{Lat: -1.5, RadiusM: 2000}
	for _, want := range []Question{
		{LegacyAPI, query, nil},
		{NewAPI, query, append(Fields[:len(Fields):len(Fields)], "rating")},
	} {
		if q, err := understand(asked(want.Dialect)); err != nil || !reflect.DeepEqual(q, want) {
			t.Errorf("%+v, %v, want %+v", q, err, want)
		}
	}
	for _, c := range []struct {
		dialect  Dialect
		old, new string
	}{
		{LegacyAPI, "GET", "POST"},
		{LegacyAPI, "nearbysearch", "textsearch"},
		{LegacyAPI, Key, "another"},
		{LegacyAPI, "location=-1.5", "location=%2B1.5"},
		{LegacyAPI, "location=-1.5", "location=-1.50"},
		{LegacyAPI, "location=-1.5", "location=-91"},
		{LegacyAPI, "location=-1.5", "location=NaN"},
		{LegacyAPI, "%2C0", "%2C-0"},
		{LegacyAPI, "radius=2000", "radius=0"},
		{LegacyAPI, "radius=2000", "radius=2e3"},
		{LegacyAPI, "radius=2000", "radius=50001"},
		{LegacyAPI, "radius=2000", "radius=2000&pagetoken=x"},
		{LegacyAPI, "Host: h", "Host: " + Key},
		{LegacyAPI, "Accept-Encoding", "Referer: x\r\nAccept-Encoding"},
		{LegacyAPI, "Accept-Encoding", "X-Goog-Api-Key: " + Key + "\r\nAccept-Encoding"},
		{NewAPI, "POST", "GET"},
		{NewAPI, newPath, newPath + "?key=" + Key},
		{NewAPI, "X-Goog-Api-Key: " + Key, "X-Goog-Api-Key: another"},
		{NewAPI, "X-Goog-Api-Key", "Authorization"},
		{NewAPI, "X-Goog-Api-Key: " + Key, "X-Goog-Api-Key: " + Key + "\r\nCookie: " + Key},
		{NewAPI, "places.id,", ""},
		{NewAPI, "places.id,", "places.id,places.id,"},
		{NewAPI, "places.id,", "*,"},
		{NewAPI, "places.rating", "places.reviews"},
		{NewAPI, "places.rating", "rating"},
		{NewAPI, `"radius":2000`, `"radius":2000.0`},
		{NewAPI, `"radius":2000`, `"radius":50001`},
		{NewAPI, `"latitude":-1.5`, `"latitude":+1.5`},
		{NewAPI, `"latitude":-1.5`, `"latitude":-91`},
		{NewAPI, `"latitude":-1.5,`, ``},
		{NewAPI, `"maxResultCount":20`, `"maxResultCount":5`},
		{NewAPI, "DISTANCE", "POPULARITY"},
		{NewAPI, `"DISTANCE"}`, `"DISTANCE","key":"` + Key + `"}`},
		{NewAPI, "application/json", "text/plain"},
		{NewAPI, "serverherd", "Go-http-client/1.1"},
	} {
		if q, err := understand(asked(c.dialect, c.old, c.new)); err == nil {
			t.Errorf("%s: %q in place of %q is taken as %+v", c.dialect, c.new, c.old, q)
		}
	}
}
