package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/places"
	"serverherd/protocol"
)

// placesHerd creates a directory with a herd.toml that has the given [places] table.
func placesHerd(t *testing.T, table string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	text := "[places]\n" + table + "\n[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:1\"\n"
	if err := os.WriteFile(filepath.Join(dir, "herd.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// askPlaces runs the places command in this process.
func askPlaces(dir string, args ...string) (out, errOut string, code int) {
	var o, e bytes.Buffer
	code = run(append([]string{"places", "--config", filepath.Join(dir, "herd.toml")}, args...),
		strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}

// The table of a file with wide, accented, right-to-left and hostile names.
func TestPlacesTable(t *testing.T) {
	dir := placesHerd(t, "")
	file := filepath.Join(dir, "mine.csv")
	if err := os.WriteFile(file, []byte("name,lat,lng,types\n"+
		"東京タワー,1,2,tourist_attraction|point_of_interest\n"+
		"Cafe\u0301 \u202eevil,1.001,2,cafe\n"+
		"שלום עולם,1.01,2,\n"+
		"\"Joe's \"\"Diner\"\" ☕\",1.09,2,restaurant\n"+
		strings.Repeat("long", 30)+",1.4,2,park\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"1,2", "50", "--path", file}, "" +
			"DISTANCE  NAME                                                          KIND\n" +
			"     0 m  東京タワー                                                    tourist_attraction\n" +
			"   111 m  Cafe\u0301 \\u202eevil                                               cafe\n" +
			"  1.1 km  שלום עולם                                                     -\n" +
			" 10.0 km  Joe's \"Diner\" ☕                                              restaurant\n" +
			" 44.5 km  " + strings.Repeat("long", 14) + "lon…  park\n" +
			"\n" +
			"5 places within 50 km of 1,2, by provider file, 5 places in " + file + "\n"},
		{[]string{"-1.5,-2", "1.005", "--path", file, "--provider", "file"},
			"no places within 1.005 km of -1.5,-2, by provider file, 5 places in " + file + "\n"},
		{[]string{"+1.0002+002/", ".05", "--path", file}, "" +
			"DISTANCE  NAME        KIND\n" +
			"    22 m  東京タワー  tourist_attraction\n" +
			"\n" +
			"1 place within 0.05 km of 1.0002,2, by provider file, 5 places in " + file + "\n"},
	} {
		out, errOut, code := askPlaces(dir, c.args...)
		if out != c.want || errOut != "" || code != 0 {
			t.Errorf("%q: exit code %d, %s\n%s\nwant\n%s", c.args, code, errOut, out, c.want)
		}
	}
}

// Files of other forms work with options from the command line or from herd.toml.
func TestPlacesOfOtherFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sites.txt")
	if err := os.WriteFile(file, []byte("\ufeffid;\"site; name\";y deg;x deg;kind\r\n1;Pump;1,5;2,25;well\r\n2;Store;;;\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const flags = `types=kind,name=site; name,"lat=y deg",lng=x deg`
	const keys = "columns = { name = \"site; name\", lat = \"y deg\", lng = \"x deg\", types = \"kind\" }\n"
	path := fmt.Sprintf("provider = \"file\"\npath = %q\n", file)
	want := "DISTANCE  NAME  KIND\n     0 m  Pump  well\n\n1 place within 10 km of 1.5,2.25, by provider file, 1 place in " + file +
		", 1 without a name or a position skipped\n"
	for _, c := range []struct {
		table     string
		args      []string
		code      int
		out, errs string
	}{
		{path + keys + "lenient = true\n", nil, 0, want, ""},
		{"", []string{"--path", file, "--columns", flags, "--lenient"}, 0, want, ""},
		{path + keys, []string{"--lenient"}, 0, want, ""},
		{path + "lenient = true\n", []string{"--columns", flags}, 0, want, ""},
		{path + "columns = { name = \"id\" }\nlenient = true\n", []string{"--columns", flags}, 0, want, ""},
		{path + keys + "lenient = true\n", []string{"--lenient=false"}, 1, "",
			"sites.txt:3:9: missing lat; to skip such places set lenient = true or --lenient"},
		{"", []string{"--path", file, "--lenient"}, 1, "", `map them with columns = { name = "site; name", lat = "...", lng = "..." }`},
		{"", []string{"--columns", flags}, 2, "", "--columns requires provider file, not embedded"},
		{"", []string{"--lenient"}, 2, "", "--lenient requires provider file, not embedded"},
		{path + keys, []string{"--provider", "embedded", "--lenient"}, 2, "", "--lenient requires provider file, not embedded"},
	} {
		out, errOut, code := askPlaces(placesHerd(t, c.table), append([]string{"1.5,2.25"}, c.args...)...)
		if code != c.code || out != c.out || !strings.Contains(errOut, c.errs) || (errOut == "") != (c.errs == "") {
			t.Errorf("%q %q: exit code %d, %q %q, want %d, %q %q", c.table, c.args, code, out, errOut, c.code, c.out, c.errs)
		}
	}
}

// --provider overrides the provider; the other keys of herd.toml still apply.
func TestPlacesOfAnotherProvider(t *testing.T) {
	dir := placesHerd(t, "provider = \"file\"\npath = \"mine.csv\"\nrank = \"distance\"")
	if err := os.WriteFile(filepath.Join(dir, "mine.csv"), []byte("name,lat,lng\nmine,34.06893,-118.445127\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "     0 m  mine  -\n"},
		{[]string{"--provider", "file"}, "     0 m  mine  -\n"},
		{[]string{"--provider", "embedded"}, "" + // by distance
			"   276 m  Ronald Reagan UCLA Medical Center Helistop   airport\n" +
			"   479 m  UCLA Emergency Medicine Department Heliport  airport\n" +
			"  1.1 km  UCLA Wilshire Glendon Heliport               airport\n" +
			"  1.4 km  The Wilshire Thayer Heliport                 airport\n" +
			"  1.6 km  Bel Air                                      locality\n" +
			"\n" +
			"5 places within 1.7 km of 34.06893,-118.445127, by provider embedded\n" +
			"Populated places: GeoNames (https://www.geonames.org/), CC BY 4.0\n" +
			"Airports: OurAirports (https://ourairports.com/) by way of airport-db, ODbL 1.0\n"},
	} {
		args := append([]string{"34.06893, -118.445127", "1.7"}, c.args...)
		out, errOut, code := askPlaces(dir, args...)
		if _, rows, _ := strings.Cut(out, "\n"); code != 0 || !strings.HasPrefix(rows, c.want) {
			t.Errorf("%q: exit code %d, %s%s", c.args, code, errOut, out)
		}
	}
}

func TestPlacesMistakes(t *testing.T) {
	t.Setenv(keyVariable, "")
	dir := placesHerd(t, "")
	bad := filepath.Join(dir, "bad.ndjson")
	if err := os.WriteFile(bad, []byte(`{"name":"x","lat":1,"lng":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"1,2", "--provider", "bing"}, 2,
			"--provider: want one of embedded, file, google, google-legacy, got bing"},
		{[]string{"1,2", "--provider", "file"}, 2,
			"provider file requires --path FILE with a name that ends in .csv, .tsv, .txt, .json, .ndjson, .jsonl"},
		{[]string{"1,2", "--provider", "google", "--path", "x.csv"}, 2,
			"--path requires provider file, not google"},
		{[]string{"1,2", "--path", bad}, 1, "bad.ndjson:1:27: lng is not a number"},
		{[]string{"1,2", "--path", filepath.Join(dir, "none.csv")}, 1, "none.csv: no such file or directory"},
		{[]string{"1,2", "--provider", "google"}, 1, "no API key: set $GOOGLE_PLACES_API_KEY or places.key_file"},
		{[]string{"1,2", "--at", "Ball"}, 2, `unknown server "Ball"; servers in herd.toml: Alford`},
		{[]string{"91,0"}, 2, "91,0 is not a position: want " + positionForms + "; usage: herd places LAT,LNG [KM=10]"},
		{[]string{"NaN,0"}, 2, "NaN,0 is not a position"},
		{[]string{"1"}, 2, "1 is not a position"},
		{[]string{"1,2", "51"}, 2, `51 is not a number of kilometers from 0 to 50`},
		{[]string{"1,2", "NaN"}, 2, `NaN is not a number of kilometers`},
		{[]string{"1,2", "-1"}, 2, `-1 is not a number of kilometers`},
	} {
		out, errOut, code := askPlaces(dir, c.args...)
		if code != c.code || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 || out != "" {
			t.Errorf("%q: exit code %d, %q, want %d, %q; %s", c.args, code, errOut, c.code, c.want, out)
		}
	}
}

// A failed lookup prints advice, and a fallback does not hide the failure.
func TestPlacesAdvice(t *testing.T) {
	t.Setenv(keyVariable, "a-key")
	answer := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(answer))
	}))
	defer s.Close()
	table := "fallback = \"embedded\"\ndaily_budget = 4\ntimeout = \"20s\"\nprovider = \"google-legacy\"\nbase_url = \"" + s.URL + "\""
	status := func(s string) string { return `{"results":[],"status":"` + s + `"}` }
	for _, c := range []struct{ answer, provider, want string }{
		{status("REQUEST_DENIED"), "google-legacy", "herd: places provider google-legacy: the answer was REQUEST_DENIED; check the API key " +
			"and that its project has the legacy Places API, which new projects cannot enable: try --provider google\n"},
		{status("OVER_QUERY_LIMIT"), "google-legacy", "check the quota and the billing of the API key's project\n"},
		{status("UNKNOWN_ERROR"), "google-legacy", "check places.base_url and the network, or try again\n"},
		{`{"places":7}`, "google", "herd: places provider google: "},
	} {
		answer = c.answer
		dir := placesHerd(t, table) // with its own budget
		out, errOut, code := askPlaces(dir, "1,2", "--provider", c.provider)
		if code != 1 || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 || out != "" {
			t.Errorf("%s: exit code %d, %q, want %q; %s", c.answer, code, errOut, c.want, out)
		}
	}
	answer = `{"html_attributions":["Places by <a href=\"https:\/\/x.example\/?a=b&amp;c\">X &amp; <b>Y</b><\/a>\u001b[31m"],` +
		`"results":[{"name":5,"types":["cafe"]},{"name":"a\u202eb\nc"},{"name":"n","geometry":{"location":{"lat":1,"lng":2}}}],"status":"OK"}`
	dir := placesHerd(t, strings.Replace(table, "budget = 4", "budget = 2", 1))
	want := "" +
		"DISTANCE  NAME         KIND\n" +
		"       -  -            cafe\n" +
		"       -  a\\u202eb\\nc  -\n" +
		"     0 m  n            -\n" +
		"\n" +
		"3 places within 10 km of 1,2, by provider google-legacy, 1 of 2 lookups used today (UTC)\n" +
		"Places by X & Y (https://x.example/?a=b&c)\\x1b[31m\n"
	if out, errOut, code := askPlaces(dir, "1,2"); out != want || code != 0 {
		t.Errorf("exit code %d, %s\n%s\nwant\n%s", code, errOut, out, want)
	}
	_, _, _ = askPlaces(dir, "1,2")
	if _, errOut, code := askPlaces(dir, "1,2"); code != 1 ||
		!strings.HasSuffix(errOut, "exhausted; raise places.daily_budget or wait for the next day (UTC)\n") {
		t.Errorf("exit code %d, %q", code, errOut)
	}
}

func TestFromHTML(t *testing.T) {
	for text, want := range map[string]string{
		"plain &lt;b&gt;":                     "plain <b>",
		"<a href='http://x'>y</a>, <i>z":      "y (http://x), z",
		"<A class=a HREF=http://x >y\n z</A>": "y z (http://x)",
		"a < b":                               "a < b",
	} {
		if got := fromHTML(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// With the maximum number of results there may be more.
func TestCounted(t *testing.T) {
	for n, want := range map[int]string{
		0: "no places", 1: "1 place", 19: "19 places", protocol.MaxBound: "the first 20 places",
	} {
		if got := counted(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	if got := source(&places.Report{Provider: "embedded"}); got != "provider embedded" {
		t.Error(got)
	}
}
