package google

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator generates answers of both APIs with everything that JSON allows.
type generator struct{ *rand.Rand }

// Unusual names, and numbers that do not fit into a float64.
var (
	oddStrings = []string{
		`"plain"`, `""`, `"\"quoted\" and back\\slashed \\\""`, `"two\nlines\r\n"`, `"\u000a\u000A"`,
		"\"\u2028 and \u2029\"", `"\u2028"`, `"\u0000\u0007\u001b[31m\b\f\t"`,
		"\"\u007f \u009b31m\"",
		"\"\u202eabc\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627\"", `"\u202e"`,
		`"<script>&amp;</script>"`, `"https:\/\/example.com\/?a=1&b=2"`,
		"\"\u6771\u4eac\u99c5 \U0001f689\"",
		`"\ud83d\ude89"`, `"\ud800 alone"`, "\"\xff\xfe not UTF-8\"", "\"\ufeff\"",
		`"} ] , : {"`, `"\\"`,
	}
	oddNumbers = []string{
		"0", "-0", "0.10", "4.0", "1e400", "-1E-400", "12345678901234567890",
		"9007199254740993", "1.50e+0", "34.068930000000000", "-118.445127", "3.141592653589793238462643383279",
	}
)

func (g generator) one(of []string) string { return of[g.IntN(len(of))] }
func (g generator) string() string         { return g.one(oddStrings) }
func (g generator) number() string         { return g.one(oddNumbers) }

// space is optional white space.
func (g generator) space() string {
	return g.one([]string{"", "", "", " ", "\n", "\r\n\t", "\n\n    "})
}

// value is a random value.
func (g generator) value(depth int) string {
	switch n := g.IntN(8); {
	case n < 3:
		return g.string()
	case n < 5:
		return g.number()
	case n == 5 || depth == 0:
		return g.one([]string{"true", "false", "null"})
	case n == 6:
		return g.list(g.IntN(4), func() string { return g.value(depth - 1) })
	}
	return g.object(g.unknown(depth - 1))
}

func (g generator) list(n int, element func() string) string {
	var all []string
	for range n {
		all = append(all, g.space()+element()+g.space())
	}
	return "[" + g.space() + strings.Join(all, ",") + "]"
}

// object is an object with the members in random order.
func (g generator) object(members []string) string {
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + g.space() + strings.Join(members, ",") + "}"
}

func (g generator) member(name, value string) string {
	return g.space() + `"` + name + `"` + g.space() + ":" + g.space() + value + g.space()
}

// some returns a random subset of members.
func (g generator) some(namesAndValues ...string) (all []string) {
	for i := 0; i < len(namesAndValues); i += 2 {
		if g.IntN(4) > 0 {
			all = append(all, g.member(namesAndValues[i], namesAndValues[i+1]))
		}
	}
	return all
}

// unknown returns members with unknown names.
func (g generator) unknown(depth int) (all []string) {
	for i := range g.IntN(4) {
		name := fmt.Sprintf("%s%d", g.one([]string{"new", "a b", `\u00e9\"`, "\u6771", `\/`}), i)
		all = append(all, g.member(name, g.value(depth)))
	}
	return all
}

// legacyAnswer is an answer of the legacy API.
func (g generator) legacyAnswer() []byte {
	results := g.list(g.IntN(maxBound+1), func() string {
		return g.object(append(g.unknown(3), g.some(
			"name", g.string(), "geometry", g.value(2), "rating", g.number(),
			"types", g.list(2, g.string), "vicinity", g.string())...))
	})
	all := append(g.unknown(3), g.member("results", results),
		g.member("status", g.one([]string{`"OK"`, `"ZERO_RESULTS"`, `"\u004fK"`})))
	all = append(all, g.some("html_attributions", g.list(2, g.string))...)
	return []byte(g.space() + g.object(all) + g.space())
}

// newAnswer is an answer of the new API.
func (g generator) newAnswer() []byte {
	all := g.unknown(3)
	if g.IntN(8) > 0 {
		name := g.one([]string{"places", `\u0070laces`})
		all = append(all, g.member(name, g.list(g.IntN(maxBound+1), g.place)))
	}
	return []byte(g.space() + g.object(all) + g.space())
}

func (g generator) place() string {
	point := func() string {
		return g.object(g.some("latitude", g.number(), "longitude", g.number(), "x", g.value(1)))
	}
	credit := func() string {
		return g.object(g.some("provider", g.string(), "providerUri", g.string()))
	}
	levels := []string{
		"FREE", "INEXPENSIVE", "MODERATE", "EXPENSIVE", "VERY_EXPENSIVE", "UNSPECIFIED", "OF_MARS",
	}
	return g.object(append(g.unknown(3), g.some(
		g.one([]string{"id", `i\u0064`}), g.string(),
		"displayName", g.object(g.some("text", g.string(), "languageCode", `"en"`)),
		"location", point(), "viewport", g.object(g.some("low", point(), "high", point())),
		"types", g.list(g.IntN(4), g.string), "shortFormattedAddress", g.string(),
		"businessStatus", g.string(),
		"plusCode", g.object(g.some("globalCode", g.string(), "compoundCode", g.string())),
		"iconMaskBaseUri", g.string(), "iconBackgroundColor", g.string(), "rating", g.number(),
		"userRatingCount", g.number(), "priceLevel", `"PRICE_LEVEL_`+g.one(levels)+`"`,
		"currentOpeningHours", g.object(g.some(
			"openNow", g.one([]string{"true", "false"}), "periods", g.value(2))),
		"attributions", g.list(1, credit),
		"name", g.string(), "place_id", g.value(1), // names that the translation uses
	)...))
}
