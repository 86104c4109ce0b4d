package places

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestAppendJSON(t *testing.T) {
	raw := func(s ...string) (all []json.RawMessage) {
		for _, v := range s {
			all = append(all, json.RawMessage(v))
		}
		return all
	}
	odd := "{ \"a\" :\r\n\n\n[ 1 ,\t{ } , [\n\n] , \"\\\"] \u2028<&>\" ] }"
	for _, c := range []struct {
		name  string
		r     Result
		bound int
		want  string
	}{
		{"nothing", Result{}, 20, "{\n  \"results\": []\n}"},
		{"cut to none", Result{Results: raw("{}")}, 0, "{\n  \"results\": []\n}"},
		{"a bound below none", Result{Results: raw("{}")}, -1, "{\n  \"results\": []\n}"},
		{"cut to one", Result{Results: raw("{}", `{"a":1}`)}, 1, "{\n  \"results\": [\n    {}\n  ]\n}"},
		{"all", Result{Results: raw("{}", `{"a":1}`)}, 2,
			"{\n  \"results\": [\n    {},\n    {\n      \"a\": 1\n    }\n  ]\n}"},
		{"members keep their order and their escapes",
			Result{
				Before: []Field{{`\u0062`, []byte("4.0")}, {"a", []byte("9007199254740993")}},
				After:  []Field{{"status", []byte(`"OK"`)}, {"a", []byte(" null ")}},
			}, 1,
			"{\n  \"\\u0062\": 4.0,\n  \"a\": 9007199254740993,\n" +
				"  \"results\": [],\n  \"status\": \"OK\",\n  \"a\": null\n}"},
		{"odd white space", Result{Results: raw(odd)}, 1,
			"{\n  \"results\": [\n    {\n      \"a\": [\n        1,\n        {},\n        [],\n" +
				"        \"\\\"] \u2028<&>\"\n      ]\n    }\n  ]\n}"},
	} {
		if got := AppendJSON([]byte("x"), c.r, c.bound); string(got) != "x"+c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got[1:], c.want)
		}
	}
}

// A prepared layout is the same as that of AppendJSON.
func TestLaidOut(t *testing.T) {
	for _, r := range []Result{sample(t), near(t, ByClass, Query{34.06893, -118.445127, 10_000})} {
		if !r.laidOut || len(r.Results) == 0 {
			t.Fatalf("laid out: %v, %d results", r.laidOut, len(r.Results))
		}
		for bound := range 21 {
			laidOut := AppendJSON(nil, r, bound)
			again := r
			again.laidOut = false
			if got := AppendJSON(nil, again, bound); !bytes.Equal(got, laidOut) {
				t.Fatalf("got  %s\nwant %s", laidOut, got)
			}
			var indented bytes.Buffer
			if err := json.Indent(&indented, laidOut, "", "  "); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(indented.Bytes(), laidOut) {
				t.Fatalf("got  %s\nwant %s", laidOut, &indented)
			}
			if bytes.Contains(laidOut, []byte("\n\n")) || bytes.HasSuffix(laidOut, []byte("\n")) {
				t.Fatalf("an empty line in %q", laidOut)
			}
		}
	}
}

// There is one allocation, which the race detector counts as two.
func TestAppendJSONAllocates(t *testing.T) {
	r := near(t, ByClass, Query{34.06893, -118.445127, 10_000})
	if n := testing.AllocsPerRun(10, func() { AppendJSON(nil, r, 20) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

// The size of deep values is limited.
func TestAppendIndentedStops(t *testing.T) {
	const most = 1000
	text := appendIndented(nil, bytes.Repeat([]byte("["), 9000), 1, most)
	if len(text) <= most || len(text) > 2*most {
		t.Errorf("%d bytes", len(text))
	}
}

func sample(t testing.TB) Result {
	t.Helper()
	body, err := os.ReadFile("google/googletest/answers/legacy.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseKeepsTwentyResults(t *testing.T) {
	body := `{"results":[` + strings.Repeat(`{},`, 24) + `{}],"status":"OK"}`
	r, err := Parse([]byte(body))
	if err != nil || len(r.Results) != 20 {
		t.Errorf("%d results, %v", len(r.Results), err)
	}
	if _, err := Parse([]byte(strings.Replace(body, "{}]", "null]", 1))); err != errResult {
		t.Errorf("the last one is none: %v", err)
	}
}

// Names may have escapes. The result does not refer to the memory of the answer.
func TestParseUnescapes(t *testing.T) {
	body := []byte(`{"html\u005fattributions":[],"\u0072esults":[{}],"statu\u0073":"\u004fK"}`)
	r, err := Parse(body)
	clear(body)
	const want = "{\n  \"html\\u005fattributions\": [],\n  \"results\": [\n    {}\n  ],\n" +
		"  \"statu\\u0073\": \"\\u004fK\"\n}"
	if got := AppendJSON(nil, r, 20); err != nil || r.Status != "OK" || string(got) != want {
		t.Errorf("%q, %s, %v", r.Status, got, err)
	}
}

// FuzzParse checks that the output for an accepted answer decodes to the same value as the answer and has
// the same text, except for white space and results after the twentieth, and that errors are one short
// line.
func FuzzParse(f *testing.F) {
	body, err := os.ReadFile("google/googletest/answers/legacy.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(AppendJSON(nil, near(f, ByDistance, Query{34.06893, -118.445127, 1000}), 20))
	f.Fuzz(func(t *testing.T, answer []byte) {
		r, err := Parse(answer)
		if err != nil {
			if text := err.Error(); len(text) > 120 || strings.ContainsAny(text, "\r\n") {
				t.Fatalf("error %q", text)
			}
			return
		}
		text := AppendJSON(nil, r, 20)
		if bytes.Contains(text, []byte("\n\n")) {
			t.Fatalf("an empty line in %q", text)
		}
		in, out := members(t, answer), members(t, text)
		if len(in) != len(out) && r.Results != nil {
			t.Fatalf("%d members of %d in %q", len(out), len(in), text)
		}
		for i := range in {
			compare(t, in[i], out[i])
		}
	})
}

// members returns the members of an object by encoding/json.
func members(t *testing.T, object []byte) (all []Field) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, Field{name.(string), v})
	}
	return all
}

func compare(t *testing.T, in, out Field) {
	t.Helper()
	if in.Name != out.Name {
		t.Fatalf("member %q became %q", in.Name, out.Name)
	}
	if in.Name == "results" {
		var list []json.RawMessage
		if err := json.Unmarshal(in.Value, &list); err != nil {
			t.Fatal(err)
		}
		var kept [][]byte
		for _, v := range list[:min(len(list), maxResults)] {
			kept = append(kept, v)
		}
		in.Value = append(append([]byte{'['}, bytes.Join(kept, []byte(","))...), ']')
	}
	if got, want := compact(t, out.Value), compact(t, in.Value); got != want {
		t.Fatalf("%q became\n%q", want, got)
	}
}

func compact(t *testing.T, v []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
