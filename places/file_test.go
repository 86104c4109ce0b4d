package places

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written is a file of that name and text.
func written(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	threeCSV = "\ufeffname,lng,lat,vicinity,types\r\n" +
		"\"Joe's \"\"Diner\"\", east\",-118.4452,34.0689,\"1 Main St, LA\",cafe|restaurant\r\n" +
		"Café ☕ \u202eRTL\u2028,-118.446,34.069,,\r\n" +
		"Fiji,179.9999,-17,Pacific,island\r\n"
	threeNDJSON = `{"name":"Joe's \"Diner\", east","lat":34.0689,"lng":-118.4452,"types":["cafe","restaurant"],"vicinity":"1 Main St, LA"}
{"lng":-118.446,"lat":34.069,"name":"Caf\u00e9 ☕ ` + "\u202eRTL\u2028" + `"}
 {"name" : "Fiji", "lat":-17e0 ,"lng":179.9999, "vicinity":"Pacific","types":["island"]}`
)

// Both formats say the same.
func TestFile(t *testing.T) {
	var answers []string
	for _, file := range []struct{ name, text string }{
		{"a.csv", threeCSV}, {"b.NDJSON", threeNDJSON}, {"c.jsonl", "\ufeff" + threeNDJSON + "\r\n"},
	} {
		f, err := NewFile(written(t, file.name, file.text), FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if f.Len() != 3 || f.Report().Places != 3 {
			t.Errorf("%s: %d places", file.name, f.Len())
		}
		all := ""
		for _, q := range []Query{
			{34.0689, -118.4452, 1000}, {-17, -179.999, 50_000}, {0, 0, 50_000},
		} {
			r, err := f.Nearby(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			all += string(AppendJSON(nil, r, 20)) + "\n"
		}
		answers = append(answers, all)
		if all != answers[0] {
			t.Errorf("%s answers\n%s\nand %s\n%s", file.name, all, "a.csv", answers[0])
		}
	}
	var first struct {
		Credits []string `json:"html_attributions"`
		Results []struct {
			Name, Vicinity, Scope string
			PlaceID               string `json:"place_id"`
			Types                 []string
		}
		Status string
	}
	if err := json.NewDecoder(strings.NewReader(answers[0])).Decode(&first); err != nil {
		t.Fatal(err)
	}
	if len(first.Results) != 2 || len(first.Credits) != 0 || first.Status != "OK" {
		t.Fatalf("%+v", first)
	}
	joe, cafe := first.Results[0], first.Results[1]
	if joe.Name != `Joe's "Diner", east` || joe.Vicinity != "1 Main St, LA" || joe.Scope != "APP" ||
		fmt.Sprint(joe.Types) != "[cafe restaurant]" || !strings.HasPrefix(joe.PlaceID, "file-") {
		t.Errorf("%+v", joe)
	}
	if cafe.Name != "Café ☕ \u202eRTL\u2028" || cafe.Vicinity != "" || len(cafe.Types) != 0 {
		t.Errorf("%+v", cafe)
	}
	if strings.Count(answers[0], "Fiji") != 1 || !strings.Contains(answers[0], "ZERO_RESULTS") {
		t.Error("over the date line, or in the Atlantic:", answers[0])
	}
}

// What is wrong, and where.
func TestFileMistakes(t *testing.T) {
	const head = "name,lat,lng,types,vicinity\n"
	long := strings.Repeat("x", maxFileText+1)
	for _, c := range []struct{ name, text, want string }{
		{"a.csv", "", " the file is empty"},
		{"a.csv", "\n", "1:1: no header: expected name,lat,lng,types,vicinity"},
		{"a.csv", head, " the file has no places"},
		{"a.csv", "name,lat\nx,1\n", `1:1: header: no lng; the file has "name", "lat"; map them with columns = { name = "name", lat = "lat", lng = "..." } or --columns name=name,lat=lat,lng=...`},
		{"a.csv", "name,lat,lng,lat\n", `1:14: header: duplicate column "lat"`},
		{"a.csv", "site_id,site_name,site_lat,site_lon\n", `1:1: header: no name, no lat, no lng; the file has "site_id", "site_name", "site_lat", "site_lon"; ` +
			`map them with columns = { name = "site_name", lat = "site_lat", lng = "site_lon" } or --columns name=site_name,lat=site_lat,lng=site_lon`},
		{"a.csv", "Name,lat,Latitude,long,lon\n", `1:10: header: both "lat" and "Latitude" could be lat; ` +
			`both "long" and "lon" could be lng; the file has "Name", "lat", "Latitude", "long", "lon"; ` +
			`map them with columns = { name = "Name", lat = "lat", lng = "long" } or --columns name=Name,lat=lat,lng=long`},
		{"a.csv", head + "x,1,2\n", "2:1: 3 fields, but the header has 5 columns"},
		{"a.csv", head + "x,1,2,,,\n", "2:1: 6 fields, but the header has 5 columns"},
		{"a.csv", head + "x,1,2,,\n\"y\"z,1,2,,\n", "3:3: extraneous or missing \" in quoted-field"},
		{"a.csv", head + "x,1,2,,\ny\",1,2,,\n", "3:2: bare \" in non-quoted-field"},
		{"a.csv", head + "x,1,2,,\n\"x,1,2,,\ny,1,2,,\nz,\"1\",2,,\n",
			"5:3: extraneous or missing \" in quoted-field, in the place that begins on line 3"},
		{"a.csv", head + "\"x" + strings.Repeat(",1,2,,\n", 1<<16), "2:1: the place is longer than 65536 bytes; is a quote missing?"},
		{"a.csv", head + "x,1,2,," + strings.Repeat("x", 1<<18), "2:1: the place is longer than 65536 bytes"},
		{"a.csv", head + strings.Repeat("\n", 1<<18), " more than 65536 bytes of empty lines"},
		{"a.csv", "\xff\xfen\x00a\x00m\x00e\x00", " text is UTF-16: save it as UTF-8"},
		{"a.ndjson", "\xfe\xff\x00{\x00}", " text is UTF-16: save it as UTF-8"},
		{"a.csv", head + "a\ufffdb,1,2,,\n", "2:1: the name contains U+FFFD, the replacement for a lost character"},
		{"a.csv", head + "a\u0085b,1,2,,\n", `2:1: the name contains the control character '\u0085'`},
		{"a.csv", head + "\"x,1,2,,\n", "2:10: extraneous or missing \" in quoted-field"},
		{"a.csv", head + "x,91,2,,\n", `2:3: lat: "91" is not a number from -90 to 90`},
		{"a.csv", head + "x,1,-180.1,,\n", `2:5: lng: "-180.1" is not a number from -180 to 180`},
		{"a.csv", head + "x,NaN,2,,\n", `2:3: lat: "NaN" is not a number from -90 to 90`},
		{"a.csv", head + "x,0x1p3,2,,\n", `2:3: lat: "0x1p3" is not a number from -90 to 90`},
		{"a.csv", head + "x,1_0,2,,\n", `2:3: lat: "1_0" is not a number from -90 to 90`},
		{"a.csv", head + "x,,2,,\n", "2:3: missing lat; to skip such places set lenient = true or --lenient"},
		{"a.csv", head + " ,1,2,,\n", "2:2: missing name; to skip such places set lenient = true or --lenient"},
		{"a.csv", head + "a\tb,1,2,,\n", `2:1: the name contains the control character '\t'`},
		{"a.csv", head + "\"a\nb\",1,2,,\n", `2:1: the name contains the control character '\n'`},
		{"a.csv", head + "\xff,1,2,,\n", "2:1: the name is not UTF-8: save the file as UTF-8 (spreadsheets: CSV UTF-8)"},
		{"a.csv", head + "x,1,2,," + long + "\n", "2:8: the vicinity is longer than 1024 bytes"},
		{"a.csv", head + "x,1,2,Cafe,\n", `2:7: invalid type "Cafe": expected lower-case letters, digits and _, such as train_station`},
		{"a.csv", head + "x,1,2,a||b,\n", `2:7: invalid type "": expected lower-case letters, digits and _, such as train_station`},
		{"a.csv", head + "x,1,2,a" + strings.Repeat("|a", 20) + ",\n", "2:7: more than 20 types"},

		{"a.ndjson", "", " the file is empty"},
		{"a.ndjson", "{\"name\":\"x\",\"lat\":1,\"lng\":2}\n\n{\"name\"\n", "3:8: not JSON: unexpected end of JSON input"},
		{"a.ndjson", `{"name":"x","lat":1,"lng":2} {}`, "1:30: not JSON: invalid character '{' after top-level value"},
		{"a.ndjson", `{"name":"x",,`, "1:13: not JSON: invalid character ',' looking for beginning of object key string"},
		{"a.ndjson", `1`, "1:1: expected JSON objects, one per line or in an array"},
		{"a.ndjson", `{"name":"x","lat":1}`, `1:1: no lng; the file has "name", "lat"; map them with columns = { name = "name", lat = "lat", lng = "..." } or --columns name=name,lat=lat,lng=...; to skip such places set lenient = true or --lenient`},
		{"a.ndjson", `{"name":"x","lat":1,"lng":2,"lat":3}`, `1:30: duplicate column "lat"`},
		{"a.ndjson", "{\"name\":\"x\",\"lat\":1,\"lng\":2}\n{\"name\":\"x\",\"lng\":2}", "2:1: missing lat; to skip such places set lenient = true or --lenient"},
		{"a.ndjson", `{"name":7,"lat":1,"lng":2}`, "1:9: name is not a string"},
		{"a.ndjson", `{"name":"\u0000","lat":1,"lng":2}`, `1:9: the name contains the control character '\x00'`},
		{"a.ndjson", "{\"name\":\"\xff\",\"lat\":1,\"lng\":2}", "1:9: the name is not UTF-8: save the file as UTF-8 (spreadsheets: CSV UTF-8)"},
		{"a.ndjson", `{"name":"","lat":1,"lng":2}`, "1:9: missing name; to skip such places set lenient = true or --lenient"},
		{"a.ndjson", `{"lat":true,"name":"x","lng":2}`, "1:8: lat is not a number"},
		{"a.ndjson", `{"lat":-90.00001,"name":"x","lng":2}`, `1:8: lat: "-90.00001" is not a number from -90 to 90`},
		{"a.ndjson", `{"lng":1e400,"name":"x","lat":1}`, `1:8: lng: "1e400" is not a number from -180 to 180`},
		{"a.ndjson", `{"types":"cafe","name":"x","lat":1,"lng":2}`, "1:10: types is not an array of strings"},
		{"a.ndjson", `{"types":["cafe", 7],"name":"x","lat":1,"lng":2}`, "1:19: a type is not a string"},
		{"a.ndjson", `{"types":["cafe","A"],"name":"x","lat":1,"lng":2}`, `1:18: invalid type "A": expected lower-case letters, digits and _, such as train_station`},
		{"a.ndjson", `{"vicinity":"` + long + `","name":"x","lat":1,"lng":2}`, "1:13: the vicinity is longer than 1024 bytes"},
		{"a.ndjson", "\n" + strings.Repeat(" ", maxFileLine-1), " the file has no places"},
		{"a.ndjson", "\n" + strings.Repeat(" ", maxFileLine+1), "2:1: the place is longer than 65536 bytes"},
		{"a.ndjson", `{"name":"a\ud800","lat":1,"lng":2}`, "1:9: the name contains U+FFFD, the replacement for a lost character"},
		{"a.ndjson", "{\"name\":\"a\u009b31m\",\"lat\":1,\"lng\":2}", `1:9: the name contains the control character '\u009b'`},

		{"a.dat", head, " unsupported file name: expected .csv, .tsv, .txt, .json, .ndjson, .jsonl, optionally followed by .gz"},
	} {
		path := written(t, c.name, c.text)
		_, err := NewFile(path, FileOptions{})
		if err == nil || err.Error() != path+":"+c.want {
			t.Errorf("%.80q: %v\nwant %s:%s", c.text, err, path, c.want)
		}
	}
	directory := filepath.Join(t.TempDir(), "a.csv")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{directory: "is not a regular file", directory + ".csv": "no such file"} {
		if _, err := NewFile(path, FileOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A new file is taken as a whole or not at all.
func TestFileReload(t *testing.T) {
	path := written(t, "a.csv", "name,lat,lng\nold,1,2\n")
	f, err := NewFile(path, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ text, err, want string }{
		{"name,lat,lng\nnew,1,2\nother,1,2\n", "", "new"},
		{"name,lat,lng\nnewer,1,2\nother,1\n", path + ":3:1: 2 fields, but the header has 3 columns", "new"},
		{"", path + ": the file is empty", "new"},
		{"\n", path + ":1:1: no header: expected name,lat,lng,types,vicinity", "new"},
		{"lat,lng,name\n1,2,newest\n", "", "newest"},
	} {
		if err := os.WriteFile(path, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := f.Reload()
		if got := fmt.Sprint(err); step.err == "" && err != nil || step.err != "" && got != step.err {
			t.Errorf("%v, want %q", err, step.err)
		}
		if r := f.Report(); r.Error != step.err || (r.Refused != nil) != (step.err != "") {
			t.Errorf("%+v", r)
		}
		r, err := f.Nearby(t.Context(), Query{1, 2, 10})
		if err != nil {
			t.Fatal(err)
		}
		if s, err := Summarize(r.Results[0]); err != nil || s.Name != step.want {
			t.Errorf("%+v, %v, want %s", s, err, step.want)
		}
	}
}

// Any file is read or refused, and what is read can be asked for.
func FuzzFile(f *testing.F) {
	for _, text := range []string{
		threeCSV, threeNDJSON, "name,lat,lng\n\"", `{"name":"a","lat":9e1,"lng":-180}`, "sep=;\r\nX;Y;name\r\n1,5;2;a\r\n;;\r\n",
		"[\n{\"name\":\"a\",\"lat\":\"1\",\"lng\":2},\n{\"name\":\"b\",\"latitude\":1,\"x\":[\"]\"],\"lon\":null}]",
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, isCSV bool) {
		read := readJSON
		if isCSV {
			read = readCSV
		}
		now, err := indexOf(bytes.NewReader(text), read, FileOptions{Lenient: true})
		if err != nil {
			return
		}
		index := now.index
		for i := range uint32(index.Len()) {
			p := index.table.place(i)
			r, err := index.Nearby(t.Context(), Query{float64(p.Lat) * unit, float64(p.Lng) * unit, 1})
			if err != nil || len(r.Results) == 0 || !json.Valid(AppendJSON(nil, r, 20)) {
				t.Fatalf("%+v is not found: %v", p, err)
			}
		}
	})
}

// What no test would like to write is refused by its size or its count.
func TestFileBounds(t *testing.T) {
	path := written(t, "a.csv", "")
	if err := os.Truncate(path, maxFileBytes+1); err != nil { // it takes no room on the disk
		t.Fatal(err)
	}
	if _, err := NewFile(path, FileOptions{}); err == nil || err.Error() != path+" is larger than 268435456 bytes" {
		t.Error(err)
	}
	b, at := newBuilder(), position{line: 3, column: 1}
	b.kind = make([]uint16, maxFilePlaces)
	if err := b.add(entry{}, at); err == nil || err.Error() != "more than 2000000 places" {
		t.Error(err)
	}
	b.kind, b.types = nil, make([]string, maxFileKinds)
	if err := b.add(entry{}, at); err == nil || err.Error() != "more than 65535 different lists of types" {
		t.Error(err)
	}
}

// endless is a file with hardly an end.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 16<<20 {
		return 0, io.EOF
	}
	n := copy(p, e.text)
	e.read += n
	return n, nil
}

// No more is read than has to be.
func TestFileIsReadWithinBounds(t *testing.T) {
	file := &endless{text: strings.Repeat("x", 1000)}
	in, err := newInput(io.MultiReader(strings.NewReader("name,lat,lng\n\"x"), file), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := readCSV(in, newBuilder().add); err == nil || !strings.HasSuffix(err.Error(), "is a quote missing?") {
		t.Error(err)
	}
	if file.read > 4*maxFileLine {
		t.Errorf("%d bytes were read of a place without end", file.read)
	}
	// A file may grow while it is read.
	in, err = newInput(&endless{text: "\n"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	in.read, in.begin = maxFileBytes, maxFileBytes
	if err := readJSON(in, newBuilder().add); err == nil || err.Error() != "the file is larger than 268435456 bytes" {
		t.Error(err)
	}
}

// A file of more than may be one place holds them all.
func TestFileOfMany(t *testing.T) {
	const n = 1500
	pad := strings.Repeat("x", 200)
	var csv, ndjson strings.Builder
	csv.WriteString("name,lat,lng\n")
	for i := range n {
		fmt.Fprintf(&csv, "place %d %s,%d,%d\n", i, pad, i%90, i%180)
		fmt.Fprintf(&ndjson, "{\"name\":\"place %d %s\",\"lat\":%d,\"lng\":%d}\n", i, pad, i%90, i%180)
	}
	for name, text := range map[string]string{"a.csv": csv.String(), "a.ndjson": ndjson.String()} {
		f, err := NewFile(written(t, name, text), FileOptions{})
		if err != nil || f.Len() != n || len(text) < 4*maxFileLine {
			t.Errorf("%s, %d bytes: %v, %+v", name, len(text), err, f)
		}
	}
}

// A file of as many places as there are in the binary.
func BenchmarkNewFile(b *testing.B) {
	e := embedded(b, ByClass)
	var csv, ndjson strings.Builder
	csv.WriteString("name,lat,lng,types,vicinity\n")
	for i := range uint32(e.Len()) {
		p := e.table.place(i)
		fmt.Fprintf(&csv, "\"%s\",%.5f,%.5f,a|b,\"%s\"\n", strings.ReplaceAll(p.Name, `"`, `""`),
			float64(p.Lat)*unit, float64(p.Lng)*unit, strings.ReplaceAll(p.Vicinity, `"`, `""`))
		fmt.Fprintf(&ndjson, "{\"name\":%s,\"lat\":%.5f,\"lng\":%.5f,\"types\":[\"a\",\"b\"],\"vicinity\":%s}\n",
			appendString(nil, p.Name), float64(p.Lat)*unit, float64(p.Lng)*unit, appendString(nil, p.Vicinity))
	}
	for name, text := range map[string]string{"a.csv": csv.String(), "a.ndjson": ndjson.String()} {
		path := written(b, name, text)
		b.Run(name[2:], func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				f, err := NewFile(path, FileOptions{})
				if err != nil || f.Len() != e.Len() {
					b.Fatal(err)
				}
			}
		})
	}
}
