package google

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"serverherd/places"
	"serverherd/places/google/googletest"
)

// maxBound is the maximum number of results in a reply.
const maxBound = 20

// Google's answer is passed on to the client: every value unchanged except for white space, and decoding
// gives the same.
func TestFidelity(t *testing.T) {
	var body []byte
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
	legacy, fresh := asking(t, answer), askingNew(t, answer)
	for seed := range uint64(100) {
		g := generator{rand.New(rand.NewPCG(seed, 0))}
		bound := g.IntN(maxBound + 1)
		for _, c := range []struct {
			provider places.Provider
			body     []byte
			compare  func(*testing.T, []byte, []byte, int)
		}{
			{legacy, g.legacyAnswer(), compareLegacy}, {fresh, g.newAnswer(), compareNew},
		} {
			body = c.body
			r, err := c.provider.Nearby(t.Context(), ucla)
			if err != nil {
				t.Fatalf("seed %d: %v of %q", seed, err, body)
			}
			reply := places.AppendJSON(nil, r, bound)
			c.compare(t, body, reply, bound)
			if bytes.Contains(reply, []byte("\n\n")) {
				t.Errorf("an empty line in %q", reply)
			}
			if t.Failed() {
				t.Fatalf("seed %d: %q became %q", seed, body, reply)
			}
		}
	}
}

// compareLegacy checks that the reply is the answer, except for white space and results beyond the bound.
func compareLegacy(t *testing.T, answer, reply []byte, bound int) {
	t.Helper()
	from, to := members(t, answer), members(t, reply)
	wanted := list(t, from["results"])
	from["results"] = joined(wanted[:min(len(wanted), bound)])
	if !reflect.DeepEqual(to, from) {
		t.Errorf("got  %q\nwant %q", to, from)
	}
	if len(wanted) <= bound && tight(t, reply) != tight(t, answer) {
		t.Errorf("got  %q\nwant %q", tight(t, reply), tight(t, answer))
	}
	got, want := decoded(t, to["results"]), decoded(t, from["results"])
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded: got  %q\nwant %q", got, want)
	}
}

// compareNew is compareLegacy for an answer of the new API, translated independently.
func compareNew(t *testing.T, answer, reply []byte, bound int) {
	t.Helper()
	from, to := members(t, answer), members(t, reply)
	wanted := list(t, from["places"])
	results := list(t, to["results"])
	if len(results) != min(len(wanted), bound) {
		t.Fatalf("%d results of %d places, at most %d", len(results), len(wanted), bound)
	}
	for i, result := range results {
		got, want := members(t, []byte(result)), inLegacyWords(t, members(t, []byte(wanted[i])))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("place %d:\ngot  %q\nwant %q", i, got, want)
		}
	}
	status := `"OK"`
	if len(wanted) == 0 {
		status = `"ZERO_RESULTS"`
	}
	if to["status"] != status {
		t.Errorf("status %s, want %s", to["status"], status)
	}
	for _, ours := range []string{"places", "results", "status", "html_attributions"} {
		delete(from, ours)
		delete(to, ours)
	}
	if !reflect.DeepEqual(to, from) {
		t.Errorf("beside the places: got  %q\nwant %q", to, from)
	}
}

// legacyWords are the names of members with unchanged values: an independent copy of the table in the code.
var legacyWords = map[string][]string{
	"id": {"place_id", "reference"}, "types": {"types"}, "shortFormattedAddress": {"vicinity"},
	"businessStatus": {"business_status"}, "iconMaskBaseUri": {"icon_mask_base_uri"},
	"iconBackgroundColor": {"icon_background_color"}, "rating": {"rating"},
	"userRatingCount": {"user_ratings_total"},
}

// inLegacyWords returns a place in the form of the legacy API.
func inLegacyWords(t *testing.T, place map[string]string) map[string]string {
	t.Helper()
	in := func(outer, inner string) string { return members(t, []byte(place[outer]))[inner] }
	to := map[string]string{}
	for name, value := range place {
		words, same := legacyWords[name]
		for _, word := range words {
			to[word] = value
		}
		switch level, _ := strings.CutPrefix(value, `"PRICE_LEVEL_`); {
		case same, name == "attributions":
		case name == "location", name == "viewport":
			to["geometry"] = geometry(t, place)
		case name == "displayName":
			set(to, "name", in(name, "text"))
		case name == "currentOpeningHours":
			if open := in(name, "openNow"); open != "" {
				to["opening_hours"] = `{"open_now":` + open + `}`
			}
		case name == "plusCode":
			set(to, "plus_code", objectOf("compound_code", in(name, "compoundCode"),
				"global_code", in(name, "globalCode")))
		case name == "priceLevel":
			levels := []string{"FREE", "INEXPENSIVE", "MODERATE", "EXPENSIVE", "VERY_EXPENSIVE"}
			for i, l := range levels {
				if level == l+`"` {
					to["price_level"] = strconv.Itoa(i)
				}
			}
		case !isLegacyWord(name):
			to[name] = value
		}
	}
	return to
}

func isLegacyWord(name string) bool {
	switch name {
	case "geometry", "name", "opening_hours", "plus_code", "price_level":
		return true
	}
	for _, words := range legacyWords {
		for _, word := range words {
			if name == word {
				return true
			}
		}
	}
	return false
}

func geometry(t *testing.T, place map[string]string) string {
	t.Helper()
	point := func(text string) string {
		if text == "" {
			return ""
		}
		at := members(t, []byte(text))
		for _, c := range []string{"latitude", "longitude"} {
			if at[c] == "" {
				at[c] = "0"
			}
		}
		return objectOf("lat", at["latitude"], "lng", at["longitude"])
	}
	viewport := ""
	if v, there := place["viewport"]; there {
		corners := members(t, []byte(v))
		viewport = objectOf("northeast", point(corners["high"]), "southwest", point(corners["low"]))
		if viewport == "" {
			viewport = "{}"
		}
	}
	return objectOf("location", point(place["location"]), "viewport", viewport)
}

func set(to map[string]string, name, value string) {
	if value != "" {
		to[name] = value
	}
}

// objectOf is a JSON object of the members that have a value; "" if none has.
func objectOf(namesAndValues ...string) string {
	var all []string
	for i := 0; i < len(namesAndValues); i += 2 {
		if value := namesAndValues[i+1]; value != "" {
			all = append(all, `"`+namesAndValues[i]+`":`+value)
		}
	}
	if all == nil {
		return ""
	}
	return "{" + strings.Join(all, ",") + "}"
}

// members returns the members of an object, without white space; none if it is not an object.
func members(t *testing.T, text []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	if len(text) == 0 {
		return all
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	for name, value := range raw {
		all[name] = tight(t, value)
	}
	return all
}

func list(t *testing.T, text string) (all []string) {
	t.Helper()
	var raw []json.RawMessage
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	for _, value := range raw {
		all = append(all, tight(t, value))
	}
	return all
}

func joined(all []string) string { return "[" + strings.Join(all, ",") + "]" }

// tight removes all white space from a value.
func tight(t *testing.T, value []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		t.Fatalf("%v in %q", err, value)
	}
	return b.String()
}

// decoded decodes a value and keeps numbers as text.
func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// Every answer is either an error of one short line or is passed on with all values unchanged.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte(googletest.New))
	for seed := range uint64(4) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		f.Add(g.newAnswer())
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text, err := translate(body)
		if err == nil {
			var r places.Result
			if r, err = parse(text, 0); err == nil {
				compareNew(t, body, places.AppendJSON(nil, r, maxBound), maxBound)
				return
			}
		}
		if said := err.Error(); len(said) > 120 || strings.ContainsAny(said, "\r\n") {
			t.Fatalf("error %q", said)
		}
	})
}
