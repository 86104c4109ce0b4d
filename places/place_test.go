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
			Summary{"a", "b", -1.5, 2}, true},
		{`{"types":[],"geometry":{}}`, Summary{}, true},
		{`{"name":5}`, Summary{}, false},
		{`[]`, Summary{}, false},
		{``, Summary{}, false},
	} {
		got, err := Summarize(json.RawMessage(c.result))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", c.result, got, err)
		}
	}
}
