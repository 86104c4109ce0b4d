package places

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// listed returns the places of a file in the order of the index.
func listed(t *testing.T, f *File) string {
	t.Helper()
	index := f.current.Load().index
	all := []string{}
	for i := range uint32(index.Len()) {
		p := index.table.place(i)
		all = append(all, fmt.Sprintf("%s %.4f %.4f", p.Name, float64(p.Lat)*unit, float64(p.Lng)*unit))
	}
	return strings.Join(all, "; ")
}

// Common forms of files need at most one option.
func TestFilesOfOthers(t *testing.T) {
	stops := map[string]string{"name": "stop_name", "lat": "stop_lat", "lng": "stop_lon"}
	for _, c := range []struct {
		name    string
		options FileOptions
		want    string
		skipped int
	}{
		{"metro.stops.txt", FileOptions{Lenient: true},
			"Hill Park, Upper 40.7128 -74.0060; Hill Park, Upper 40.7130 -74.0061; Hill Park Exit 40.7131 -74.0059", 2},
		{"metro.stops.txt", FileOptions{Lenient: true, Columns: stops},
			"Hill Park, Upper 40.7128 -74.0060; Hill Park, Upper 40.7130 -74.0061; Hill Park Exit 40.7131 -74.0059", 2},
		{"bus.stops.txt", FileOptions{}, `Station Road / Mill Lane 51.5074 -0.1278; Church "Green" 51.5080 -0.1289`, 0},
		{"bus.stops.txt", FileOptions{Columns: stops}, `Station Road / Mill Lane 51.5074 -0.1278; Church "Green" 51.5080 -0.1289`, 0},
		{"ferry.stops.txt", FileOptions{Columns: stops}, "Fähre Nord 54.3233 10.1228; Fähre Süd 54.3201 10.1394", 0},
		{"airports.csv", FileOptions{}, `Harbor Roof "H" 39.2000 -95.7000; Pine Field 39.1235 -95.6543`, 0},
		{"worldcities.csv", FileOptions{Columns: map[string]string{"name": "city"}}, "São Novo -23.5500 -46.6333; Østby 59.9000 10.7500", 0},
		{"cities.json", FileOptions{}, `Vila Alta 42.5000 1.5000; Pla {d'}, "Baix" ] 42.5100 1.5100`, 0},
	} {
		text, err := os.ReadFile(filepath.Join("testdata/files", c.name))
		if err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string][]byte{c.name: text, c.name + ".gz": packed(t, text)} {
			f, err := NewFile(written(t, path, string(text)), c.options)
			if err != nil {
				t.Error(err)
				continue
			}
			if got := listed(t, f); got != c.want {
				t.Errorf("%s: %s, want %s", path, got, c.want)
			}
			if r := f.Report(); r.Skipped != c.skipped || r.Places != f.Len() {
				t.Errorf("%s: %+v, want %d skipped", path, r, c.skipped)
			}
		}
	}
	_, err := NewFile("testdata/files/metro.stops.txt", FileOptions{Columns: stops})
	want := "testdata/files/metro.stops.txt:5:6: missing name; to skip such places set lenient = true or --lenient"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func packed(t *testing.T, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Many ways to write the same two places.
func TestFileForms(t *testing.T) {
	const want = "a, b 1.5000 -2.2500; c 3.0000 4.0000"
	for _, c := range []struct {
		name, text string
		columns    map[string]string
	}{
		{"a.csv", "name,lat,lng\n\"a, b\",1.5,-2.25\nc,3,4\n", nil},
		{"a.csv", "Name , LATITUDE, Lon\n \"a, b\", 1.5 , -2.25\nc, 3, 4", nil},
		{"a.csv", "x,y,name\n-2.25,1.5, \"a, b\"\n4,3,c\n", nil},
		{"a.csv", "X,Y,name,lat,long\n0,0,\"a, b\",1.5,-2.25\n0,0,c,3,4\n", nil},
		{"a.csv", "name,lat,lng,,\n\"a, b\",1.5,-2.25,,\n,,,,\nc,3,4,,\n,,,,,,,\n \n", nil},
		{"a.csv", "name;lat;lng\r\na, b;1,5;-2,25\r\n;;\r\nc;3;4\r\n", nil},
		{"a.csv", "\ufeffsep=;\r\nname;lat;lng\r\n\"a, b\";1,5;-2.25\r\nc;3;4\r\n", nil},
		{"a.csv", "\"sep=,\"\n\nname,lat,lng\n\"a, b\",1.5,-2.25\nc,3,4\n", nil},
		{"a.txt", "name\tlat\tlng\tnote\na, b\t1.5\t-2.25\t\nc\t3\t4\tx;y\n", nil},
		{"a.TSV", "sep=\t\nid\tname\tlat\tlng\n\ta, b\t1,5\t-2,25\n1\tc\t3\t4\n", nil},
		{"a.csv", "name;note, if any;lat;lng\na, b;;1,5;-2,25\nc;;3;4\n", nil},
		{"a.csv", "name;lat;lng;a,b,c,d,e\na, b;1,5;-2,25;\nc;3;4;\n", nil},
		{"a.csv", "\"na\nme\",\"the \"\"lat\"\"\",lng,lat\n\"a, b\",1.5,-2.25,\nc,3,4,\n", map[string]string{"name": "na\nme", "lat": `the "lat"`}},
		{"a.csv", "Name,name,lat,lng\nx,\"a, b\",1.5,-2.25\nx,c,3,4\n", nil},
		{"a.csv", "NAME,ort,lat,lng\nx,\"a, b\",1.5,-2.25\nx,c,3,4\n", map[string]string{"name": "Ort"}},
		{"a.json", "\ufeff [ {\"name\":\"a, b\",\"latitude\":\"1.5\",\"long\":-2.25,\"x\":[{\"]\":1}]}\n,\n{\"y\":3,\"x\":\" 4 \",\"name\":\" c\"}]\n", nil},
		{"a.json", "\n{\"name\":\"a, b\",\"lat\":1.5,\"lng\":-2.25,\"types\":null}\n\n{\"lng\":4,\"lat\":3,\"name\":\"c\",\"vicinity\":null}", nil},
		{"a.json", `[{"note":"\\\"}]","name":"a, b","lat":1.5,"lng":-2.25},{"name":"c","lat":3,"lng":4}]`, nil},
		{"a.json", `[{"n\u0061me":"a, b","lat":1.5,"ln\u0067":-2.25},{"name":"c","lat":3,"lng":4}]`, nil},
		{"a.ndjson", `[{"t":"a, b","lat":1.5,"lng":-2.25},{"t":"c","lat":3,"lng":4}]`, map[string]string{"name": "t"}},
	} {
		f, err := NewFile(written(t, c.name, c.text), FileOptions{Columns: c.columns})
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := listed(t, f); got != want {
			t.Errorf("%q: %s, want %s", c.text, got, want)
		}
	}
	f, err := NewFile(written(t, "a.csv", "name,lat,lng,type,city\nx,1,2,heliport,Rome\n"),
		FileOptions{Columns: map[string]string{"types": "type", "vicinity": "city"}})
	if err != nil {
		t.Fatal(err)
	}
	if p := f.current.Load().index; p.table.place(0).Vicinity != "Rome" || p.types(0) != typesJSON([]string{"heliport"}) {
		t.Errorf("%+v, %s", p.table.place(0), p.types(0))
	}
}

// Ambiguous and invalid files are errors that say what was expected.
func TestFileFormMistakes(t *testing.T) {
	const lenient = "; to skip such places set lenient = true or --lenient"
	const head = "1:1: header: "
	gz := func(text string) string { return string(packed(t, []byte(text))) }
	const wrapped = "expected an array of places or one object per line; GeoJSON is not supported"
	good := gz("name,lat,lng\nx,1,2\n")
	for _, c := range []struct {
		name, text string
		options    FileOptions
		want       string
	}{
		{"a.csv", "name,lat,lng\nx,\"1,5\",2\n", FileOptions{},
			`2:3: lat: "1,5" has a decimal comma, which is allowed only if the separator is ; or tab: write 1.5`},
		{"a.csv", "name;lat;lng\nx;1.234,5;2\n", FileOptions{}, `2:3: lat: "1.234,5" is not a number from -90 to 90`},
		{"a.csv", "name;lat;lng\nx;1,2,3;2\n", FileOptions{}, `2:3: lat: "1,2,3" is not a number from -90 to 90`},
		{"a.csv", "name;lat;lng;,name,lat,lng\n", FileOptions{},
			"1:1: ambiguous separator, ',' or ';': insert a first line sep=, or sep=;"},
		{"a.csv", "name|lat|lng\n", FileOptions{}, head + `no name, no lat, no lng; the file has "name|lat|lng"; ` +
			`map them with columns = { name = "...", lat = "...", lng = "..." } or --columns name=...,lat=...,lng=...`},
		{"a.csv", "sep=|\nname|lat|lng\n", FileOptions{}, `1:1: unsupported separator "|": expected , or ; or tab`},
		{"a.csv", "sep=;\nname,lat,lng\n", FileOptions{}, strings.Replace(head, "1:1", "2:1", 1) + `no name, no lat, no lng; ` +
			`the file has "name,lat,lng"; map them with columns = { name = "...", lat = "...", lng = "..." } or --columns name=...,lat=...,lng=...`},
		{"a.csv", "name,lat,lng\rx,1,2\r", FileOptions{}, "1:1: lines end in CR only: save the file as CSV UTF-8"},
		{"a.csv", "name,lat,x\nx,1,2\n", FileOptions{}, head + `no lng; the file has "name", "lat", "x"; ` +
			`map them with columns = { name = "name", lat = "lat", lng = "..." } or --columns name=name,lat=lat,lng=...`},
		{"a.csv", "name,lat,lng\nx,1,2\n", FileOptions{Columns: map[string]string{"name": "ort", "types": "kind", "lat": "LAT"}},
			head + `no column "ort", which is configured for name; no column "kind", which is configured for types; no name; ` +
				`the file has "name", "lat", "lng"; map them with columns = { name = "name", lat = "LAT", lng = "lng" } or --columns name=name,lat=LAT,lng=lng`},
		{"a.csv", "a,a,lat,lng\nx,1,2\n", FileOptions{Columns: map[string]string{"name": "a"}},
			`1:3: header: duplicate column "a"`},
		{"a.csv", "name,lat,lng\nx,,2\n", FileOptions{}, "2:3: missing lat" + lenient},
		{"a.csv", "name,lat,lng\nx,1,2\nx,1, \n", FileOptions{}, "3:6: missing lng" + lenient},
		{"a.csv", "name,lat,lng\n,1,2\nx,,2\n", FileOptions{Lenient: true}, "2:1: missing name; no place has a name and a position"},
		{"a.csv", "name,lat,lng\nx,1,2\nx,,2\nx,1,200\n", FileOptions{Lenient: true}, `4:5: lng: "200" is not a number from -180 to 180`},
		{"a.csv", "name,lat,lng\nx,1,2\n", FileOptions{Columns: map[string]string{"nme": "a", "mme": "b"}},
			` unknown column "mme"; columns are name, lat, lng, types, vicinity`},
		{"a.csv", "name,lat,lng\nx,1,2\n", FileOptions{Columns: map[string]string{"lat": " "}}, " lat is empty; expected the file's name for column lat"},
		{"a.csv", "PK\x03\x04 and so on", FileOptions{}, " zip archives and spreadsheets are not supported: unpack it or save it as CSV UTF-8"},
		{"a.csv", "n\x00a\x00m\x00e\x00", FileOptions{}, " not text, or UTF-16: save it as UTF-8 (spreadsheets: CSV UTF-8)"},
		{"a.csv", gz("\xff\xfen\x00a\x00"), FileOptions{}, " text is UTF-16: save it as UTF-8"},
		{"a.csv.gz", good[:len(good)-9], FileOptions{}, " damaged gzip data: unexpected EOF"},
		{"a.csv.gz", good[:5], FileOptions{}, " damaged gzip data: unexpected EOF"},
		{"a.csv.gz", strings.Replace(good, good[len(good)-8:], "abcdefgh", 1), FileOptions{}, " damaged gzip data: gzip: invalid checksum"},
		{"a.gz", good, FileOptions{}, " unsupported file name: expected .csv, .tsv, .txt, .json, .ndjson, .jsonl, optionally followed by .gz"},

		{"a.json", "", FileOptions{}, " the file is empty"},
		{"a.csv.gz", gz("\ufeff"), FileOptions{}, " the file is empty"},
		{"a.xlsx", "PK\x03\x04", FileOptions{}, " spreadsheets are not supported: save it as CSV UTF-8"},
		{"a.geojson", "{}", FileOptions{}, " " + wrapped},
		{"a.json", `{"type":"FeatureCollection","name":"x","features":[ {"type":"Feature"}]}`, FileOptions{}, "1:1: " + wrapped},
		{"a.json", "{\n \"places\": [\n {\"name\":\"x\",\"lat\":1,\"lng\":2}]}", FileOptions{}, "1:1: " + wrapped},
		{"a.json", `{"n":1,"places":[{"name":"x","lat":1,"lng":2}]}`, FileOptions{}, "1:1: " + wrapped},
		{"a.json", `{"places":[` + strings.Repeat(`{"name":"x","lat":1,"lng":2},`, 1<<13), FileOptions{}, "1:1: the place is longer than 65536 bytes; " + wrapped},
		{"a.ndjson", `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"name":"x"}}`, FileOptions{}, "1:1: " + wrapped},
		{"a.json", `[{"type":"Feature","geometry":{}}]`, FileOptions{Lenient: true}, "1:2: " + wrapped + "; no place has a name and a position"},
		{"a.json", `[{"name":"x","lat":1,"lng":2,"l\u0061t":3}]`, FileOptions{}, `1:31: duplicate column "lat"`},
		{"a.ndjson", `{"l\\u0061t":0,"name":"x","lat":1,"lng":2}` + "\n" + `{"l\u0061t":0,"name":"x","lat":1,"lng":2}`, FileOptions{},
			`2:27: duplicate column "lat"`},
		{"a.ndjson", strings.Repeat(" \n", maxFileLine), FileOptions{}, "32769:1: more than 65536 bytes of empty lines"},
		{"a.json", "[" + strings.Repeat("\n", maxFileLine+1), FileOptions{}, "1:2: more than 65536 bytes of white space"},
		{"a.json", "[]\n", FileOptions{}, " the file has no places"},
		{"a.json", "[\n{\"name\":\"x\",\"lat\":1,\"lng\":2}\n", FileOptions{}, "3:1: the array does not end: is the file truncated?"},
		{"a.json", "[\n{\"name\":\"x\",\"lat\":1,", FileOptions{}, "2:21: the array does not end: is the file truncated?"},
		{"a.json", `[{"name":"x","lat":1,"lng":2},`, FileOptions{}, "1:31: the array does not end: is the file truncated?"},
		{"a.json", `[{"name":"x","lat":1,"lng":2},]`, FileOptions{}, "1:31: expected JSON objects, one per line or in an array"},
		{"a.json", `[{"name":"x","lat":1,"lng":2} {}]`, FileOptions{}, "1:31: missing comma between two places"},
		{"a.json", `[{"name":"x","lat":1,"lng":2}] {}`, FileOptions{}, "1:32: unexpected data after the array"},
		{"a.json", "[\n {\n\"name\":\"x\",\n \"lat\":}]", FileOptions{}, "4:8: not JSON: invalid character '}' looking for beginning of value"},
		{"a.json", "[\n {\n\"name\":\"x\",\n \"lat\":1,\"lng\": \"2 E\"}]", FileOptions{}, `4:17: lng: "2 E" is not a number from -180 to 180`},
		{"a.json", "[\n {\"name\":\"x\",\"lat\":1,\"lng\":2,\n\"types\":\n[\"a\",\n7]}]", FileOptions{}, "5:1: a type is not a string"},
		{"a.json", `[{"name":"x","lat":"1,5","lng":2}]`, FileOptions{},
			`1:20: lat: "1,5" has a decimal comma, which is allowed only if the separator is ; or tab: write 1.5`},
		{"a.json", `[{"name":"x","lat":1,"lng":2},{"name":"x","lat":null,"lng":2}]`, FileOptions{}, "1:49: missing lat" + lenient},
		{"a.json", `[{"name":"x","lat":1,"lng":2},{"name":"x","lat":1}]`, FileOptions{}, "1:31: missing lng" + lenient},
		{"a.json", `[{"name":"x","lat":1,"latitude":1,"lng":2}]`, FileOptions{}, `1:23: both "lat" and "latitude" could be lat`},
		{"a.json", `[{"name":"x","lat":1,"lng":2}]`, FileOptions{Columns: map[string]string{"types": "kind"}},
			` no place has "kind", which is configured for types`},
		{"a.json", `[{"title":"x","lat":1,"lng":2}]`, FileOptions{Lenient: true}, `1:2: no name; the file has "title", "lat", "lng"; ` +
			`map them with columns = { name = "...", lat = "lat", lng = "lng" } or --columns name=...,lat=lat,lng=lng; no place has a name and a position`},
		{"a.json", `[` + strings.Repeat(" ", maxFileLine-7) + `{"name":"` + strings.Repeat("x", maxFileLine), FileOptions{},
			fmt.Sprintf("1:%d: the place is longer than 65536 bytes", 2+maxFileLine-7)},
		{"a.json", strings.Repeat("\n", maxFileLine), FileOptions{}, " the file has no places"},
	} {
		path := written(t, c.name, c.text)
		_, err := NewFile(path, c.options)
		want := path + ":" + c.want
		if err == nil || err.Error() != want && err.Error() != strings.TrimPrefix(c.want, " ") {
			t.Errorf("%.80q: %v\nwant %s", c.text, err, want)
		}
	}
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A gzip bomb is read only up to the size limit of a place or a file.
func TestFileOfAGzipBomb(t *testing.T) {
	line := `{"name":"x","lat":1,"lng":2}` + strings.Repeat(" ", maxFileLine/2-29) + "\n"
	bomb := packed(t, []byte(strings.Repeat(line, 64)))
	in, err := newInput(bytes.NewReader(bomb), nil)
	if err != nil {
		t.Fatal(err)
	}
	// The limit is between the compressed and the decompressed size.
	in.read, in.begin = in.read+maxFileBytes-1<<20, in.begin+maxFileBytes-1<<20
	if err := readJSON(in, newBuilder().add); err == nil || err.Error() != "the file is larger than 268435456 bytes" || len(bomb) > 1<<19 {
		t.Errorf("%d bytes: %v", len(bomb), err)
	}
	// An endless file is read up to the limit of a place.
	r, w := io.Pipe()
	go func() {
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte("name,lat,lng\nx"))
		_, err := io.Copy(z, io.LimitReader(letters{}, 1<<40))
		_ = w.CloseWithError(err)
	}()
	_, err = indexOf(r, readCSV, FileOptions{})
	_ = r.Close()
	if err == nil || err.Error() != "the place is longer than 65536 bytes" {
		t.Error(err)
	}
	if _, err := indexOf(zeros{}, readCSV, FileOptions{}); err == nil || !strings.HasPrefix(err.Error(), "not text") {
		t.Error(err)
	}
	if _, err := NewFile("/dev/zero", FileOptions{}); err == nil {
		t.Error("a device is taken")
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A reload uses the same options and gives the same index.
func TestFileReloadKeepsItsOptions(t *testing.T) {
	path := written(t, "a.csv", "ort,lat,lng\nx,1,2\ny,,\n")
	f, err := NewFile(path, FileOptions{Columns: map[string]string{"name": "ort"}, Lenient: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("ort,lat,lng\nx,1,2\ny,,\nz,,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	r := f.Report()
	if r.Places != 1 || r.Skipped != 2 {
		t.Errorf("%+v", r)
	}
	text, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(text), `"skipped":2`) {
		t.Errorf("%s, %v", text, err)
	}
}
