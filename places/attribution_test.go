package places

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestWithAttribution(t *testing.T) {
	const line = `Not <b>Google</b>: "down"`
	const escaped = "Not &lt;b&gt;Google&lt;/b&gt;: &#34;down&#34;"
	for _, c := range []struct {
		answer string
		want   []string
	}{
		{`{"html_attributions":[],"results":[],"status":"OK"}`, nil},
		{`{"html_attributions": [ ] ,"results":[],"status":"OK"}`, nil},
		{`{"html_attributions":["a","b]"],"results":[],"status":"OK"}`, []string{"a", "b]"}},
		{`{"results":[],"status":"OK","html_attributions":["behind"]}`, []string{"behind"}},
		{`{"results":[],"status":"OK"}`, nil},
		{`{"html_attributions":null,"results":[],"status":"OK"}`, nil},
	} {
		before, err := Parse([]byte(c.answer))
		if err != nil {
			t.Fatal(err)
		}
		untouched := string(AppendJSON(nil, before, 20))
		var got struct {
			Attributions []string `json:"html_attributions"`
			Status       string
		}
		text := AppendJSON(nil, WithAttribution(before, line), 20)
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v in %s", c.answer, err, text)
		}
		if want := append([]string{escaped}, c.want...); !slices.Equal(got.Attributions, want) || got.Status != "OK" {
			t.Errorf("%s: %q, want %q", c.answer, got.Attributions, want)
		}
		if string(AppendJSON(nil, before, 20)) != untouched {
			t.Errorf("%s: the answer itself has changed", c.answer)
		}
	}
}

// An additional line keeps the layout of an answer.
func TestWithAttributionKeepsTheLayout(t *testing.T) {
	r := WithAttribution((&Index{}).answer(nil), "a line")
	text := AppendJSON(nil, r, 20)
	if want := string(appendIndented(nil, text, 0, 1<<20)); string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}
