package google

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"slices"
	"strings"

	"serverherd/places"
)

var (
	errObject = errors.New("the answer is not a JSON object")
	errPlaces = errors.New("the answer's places are not a list of JSON objects")
	errTwice  = errors.New("the answer has duplicate places")
	errError  = errors.New("the answer has status 200 and an error")
)

// member is a member of a JSON object.
type member struct {
	name  string // without its quotes, with its escapes
	value json.RawMessage
}

// unescaped returns the name of a member without escapes.
func unescaped(name string) (s string) {
	if strings.IndexByte(name, '\\') < 0 {
		return name
	}
	_ = json.Unmarshal([]byte(`"`+name+`"`), &s) // valid, because the whole answer is
	return s
}

// translate converts an answer of the new API to the legacy form. Values are unchanged, byte for byte.
// Members that the legacy API does not have keep their names and come last.
func translate(body []byte) ([]byte, error) {
	body = bytes.Trim(body, " \t\r\n")
	if err := places.CheckJSON(body); err != nil {
		return nil, err
	}
	if body[0] != '{' {
		return nil, errObject
	}
	var t translation
	var rest []member
	for name, value := range places.Members(body) {
		switch unescaped(name) {
		case "places":
			if err := t.places(value); err != nil {
				return nil, err
			}
		case "error":
			return nil, errError
		default:
			rest = append(rest, member{name, value})
		}
	}
	return t.answer(rest), nil
}

// places translates the list of places.
func (t *translation) places(list json.RawMessage) error {
	switch {
	case list[0] != '[':
		return errPlaces
	case t.listed:
		return errTwice
	}
	t.listed = true
	for place := range places.Elements(list) {
		if place[0] != '{' {
			return errPlaces
		}
		if err := t.place(place); err != nil {
			return err
		}
	}
	return nil
}

// translation collects the translated places of an answer.
type translation struct {
	listed  bool // the list of places has been translated
	results [][]byte
	credits []string // HTML, as JSON strings, each once
}

// answer builds the translated answer.
func (t *translation) answer(rest []member) []byte {
	status := "OK"
	if len(t.results) == 0 {
		status = "ZERO_RESULTS"
	}
	text := []byte(`{"html_attributions":[` + strings.Join(t.credits, ",") + `],"results":[`)
	text = append(text, bytes.Join(t.results, []byte(","))...)
	text = append(text, `],"status":"`+status+`"`...)
	for _, m := range rest {
		switch unescaped(m.name) {
		case "html_attributions", "results", "status":
		default:
			text = append(text, `,"`+m.name+`":`...)
			text = append(text, m.value...)
		}
	}
	return append(text, '}')
}

// legacyNames are the members of a result, in the legacy API's order, with their names in the new API.
var legacyNames = []struct{ legacy, name string }{
	{"business_status", "businessStatus"},
	{"geometry", ""}, // of location and viewport
	{"icon_background_color", "iconBackgroundColor"},
	{"icon_mask_base_uri", "iconMaskBaseUri"},
	{"name", "displayName"},
	{"opening_hours", "currentOpeningHours"},
	{"place_id", "id"},
	{"plus_code", "plusCode"},
	{"price_level", "priceLevel"},
	{"rating", "rating"},
	{"reference", "id"},
	{"types", "types"},
	{"user_ratings_total", "userRatingCount"},
	{"vicinity", "shortFormattedAddress"},
}

// object lists the members of an object that are translated, with the characters that their values may
// begin with.
type object map[string]string

const number = "-0123456789"

var (
	placeObject = object{
		"id": `"`, "displayName": "{", "location": "{", "viewport": "{", "types": "[", "plusCode": "{",
		"shortFormattedAddress": `"`, "businessStatus": `"`, "iconMaskBaseUri": `"`,
		"iconBackgroundColor": `"`, "rating": number, "userRatingCount": number, "priceLevel": `"`,
		"currentOpeningHours": "{", "attributions": "[",
	}
	pointObject = object{"latitude": number, "longitude": number}
	viewObject  = object{"low": "{", "high": "{"}
	nameObject  = object{"text": `"`}
	hoursObject = object{"openNow": "tf"}
	codeObject  = object{"globalCode": `"`, "compoundCode": `"`}
)

// known splits the members of value into those listed in o and the rest. The error names a member whose
// value has the wrong type.
func (o object) known(value json.RawMessage) (
	known map[string]json.RawMessage, rest []member, err error,
) {
	known = make(map[string]json.RawMessage, len(o))
	for raw, value := range places.Members(value) {
		name := unescaped(raw)
		switch begins, ours := o[name]; {
		case !ours:
			rest = append(rest, member{raw, value})
		case strings.IndexByte(begins, value[0]) < 0:
			return nil, nil, fmt.Errorf("unexpected type of %s in the answer", name)
		default:
			known[name] = value
		}
	}
	return known, rest, nil
}

// place translates one place.
func (t *translation) place(place json.RawMessage) error {
	of, rest, err := placeObject.known(place)
	if err != nil {
		return err
	}
	w := writer{text: []byte{'{'}}
	taken := map[string]bool{}
	for _, n := range legacyNames {
		taken[n.legacy] = true
		value, there := of[n.name]
		switch {
		case n.legacy == "geometry":
			w.geometry(of)
		case !there:
		case n.legacy == "name":
			w.inner("", value, nameObject, "text", "name")
		case n.legacy == "opening_hours":
			w.inner(n.legacy, value, hoursObject, "openNow", "open_now")
		case n.legacy == "plus_code":
			w.inner(n.legacy, value, codeObject,
				"compoundCode", "compound_code", "globalCode", "global_code")
		case n.legacy == "price_level":
			if level, ok := priceLevels[string(value)]; ok {
				w.member(n.legacy, []byte(level))
			}
		default:
			w.member(n.legacy, value)
		}
	}
	for _, m := range rest {
		if !taken[unescaped(m.name)] {
			w.member(m.name, m.value)
		}
	}
	if w.err != nil {
		return w.err
	}
	t.results = append(t.results, append(w.text, '}'))
	return t.credit(of["attributions"])
}

var priceLevels = map[string]string{
	`"PRICE_LEVEL_FREE"`: "0", `"PRICE_LEVEL_INEXPENSIVE"`: "1", `"PRICE_LEVEL_MODERATE"`: "2",
	`"PRICE_LEVEL_EXPENSIVE"`: "3", `"PRICE_LEVEL_VERY_EXPENSIVE"`: "4",
}

// credit adds a place's attributions, as HTML like the legacy API's.
func (t *translation) credit(list json.RawMessage) error {
	if list == nil {
		return nil
	}
	var all []struct{ Provider, ProviderUri string }
	if err := json.Unmarshal(list, &all); err != nil {
		return errors.New("unexpected type of attributions in the answer")
	}
	for _, a := range all {
		line := html.EscapeString(a.Provider)
		uri := a.ProviderUri
		if strings.HasPrefix(uri, "https://") || strings.HasPrefix(uri, "http://") {
			line = `<a href="` + html.EscapeString(uri) + `">` + line + `</a>`
		}
		quoted, err := json.Marshal(line)
		if err != nil {
			return err
		}
		if text := string(quoted); line != "" && !slices.Contains(t.credits, text) {
			t.credits = append(t.credits, text)
		}
	}
	return nil
}
