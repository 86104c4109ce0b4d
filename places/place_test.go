package places

import (
	"encoding/json"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		result string
		want   Summary
		ok     bool
	}{
		{`{"name":"a","types":["b","c"],"geometry":{"location":{"lat":-1.5,"lng":2}}}`,
			Summary{"a", "b", -1.5, 2, true}, true},
		{`{"types":[],"geometry":{}}`, Summary{}, true},
		{`{"geometry":{"location":{"lat":-1.5}}}`, Summary{}, true},
		{`{"name":5,"types":["b"],"geometry":{"location":{"lat":0,"lng":0}}}`,
			Summary{Type: "b", Located: true}, false},
		{`[]`, Summary{}, false},
		{``, Summary{}, false},
	} {
		got, err := Summarize(json.RawMessage(c.result))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", c.result, got, err)
		}
	}
}
