package places

import (
	"encoding/json"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// The members of an answer after its results.
var (
	statusOK   = []Field{{"status", json.RawMessage(`"OK"`)}}
	statusNone = []Field{{"status", json.RawMessage(`"ZERO_RESULTS"`)}}
)

// viewport is half the height and width of a place's viewport, in units: about 1.5 km. The sources do not
// have the sizes of places.
const viewport = 1350

// resultBytes is the approximate size of one result.
const resultBytes = 900

// answer builds the result of a search, with one allocation for all places.
func (e *Index) answer(found []candidate) Result {
	if len(found) == 0 {
		return Result{
			Before: e.before, After: statusNone, Status: "ZERO_RESULTS", laidOut: true,
		}
	}
	r := Result{
		Before: e.before, Results: make([]json.RawMessage, len(found)), After: statusOK,
		Status: "OK", laidOut: true,
	}
	buf := make([]byte, 0, len(found)*resultBytes)
	for i, c := range found {
		start := len(buf)
		buf = appendPlace(buf, e.table.place(c.place), e.types(c.place), e.source)
		r.Results[i] = buf[start:len(buf):len(buf)]
	}
	return r
}

// appendPlace appends a result, laid out as AppendJSON would.
func appendPlace(dst []byte, p Place, types, source string) []byte {
	dst = append(dst, "{\n      \"geometry\": {\n        \"location\": {"...)
	dst = appendPoint(dst, p.Lat, p.Lng)
	dst = append(dst, "        },\n        \"viewport\": {\n          \"northeast\": {"...)
	dst = appendCorner(dst, p.Lat+viewport, p.Lng+viewport)
	dst = append(dst, "          },\n          \"southwest\": {"...)
	dst = appendCorner(dst, p.Lat-viewport, p.Lng-viewport)
	dst = append(dst, "          }\n        }\n      },\n      \"name\": "...)
	dst = appendString(dst, p.Name)
	dst = append(dst, ",\n      \"place_id\": "...)
	id := len(dst)
	dst = appendID(dst, p, types, source)
	end := len(dst)
	dst = append(dst, ",\n      \"plus_code\": {\n        \"global_code\": \""...)
	dst = appendPlusCode(dst, p.Lat, p.Lng)
	dst = append(dst, "\"\n      },\n      \"reference\": "...)
	dst = append(dst, dst[id:end]...)
	dst = append(dst, ",\n      \"scope\": \"APP\",\n      \"types\": "...)
	dst = append(dst, types...)
	if p.Vicinity != "" {
		dst = append(dst, ",\n      \"vicinity\": "...)
		dst = appendString(dst, p.Vicinity)
	}
	return append(dst, "\n    }"...)
}

func appendPoint(dst []byte, lat, lng int32) []byte {
	dst = appendDegrees(append(dst, "\n          \"lat\": "...), lat)
	dst = appendDegrees(append(dst, ",\n          \"lng\": "...), lng)
	return append(dst, '\n')
}

func appendCorner(dst []byte, lat, lng int32) []byte {
	lat = max(-90_00000, min(lat, 90_00000))
	if lng > 180_00000 {
		lng -= 360_00000
	} else if lng < -180_00000 {
		lng += 360_00000
	}
	dst = appendDegrees(append(dst, "\n            \"lat\": "...), lat)
	dst = appendDegrees(append(dst, ",\n            \"lng\": "...), lng)
	return append(dst, '\n')
}

// appendDegrees appends a packed coordinate as a decimal without trailing zeros.
func appendDegrees(dst []byte, v int32) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	dst = strconv.AppendInt(dst, int64(v/100000), 10)
	if v %= 100000; v == 0 {
		return dst
	}
	dst = append(dst, '.')
	for scale := int32(10000); v > 0; scale /= 10 {
		// #nosec G115 -- it is a digit
		dst = append(dst, byte('0'+v/scale))
		v %= scale
	}
	return dst
}

// appendPlusCode appends a plus code of ten digits, a cell of 1/8000 degree: five pairs of latitude and
// longitude digits in base 20. Packed coordinates convert without rounding.
// https://github.com/google/open-location-code/blob/main/Documentation/Specification/specification.md
func appendPlusCode(dst []byte, lat, lng int32) []byte {
	const digits = "23456789CFGHJMPQRVWX"
	y := (min(lat, 90_00000-1) + 90_00000) * 2 / 25 // the pole is in the cell below it
	x := (lng + 180_00000) % 360_00000 * 2 / 25
	for scale := int32(160_000); scale > 0; scale /= 20 {
		dst = append(dst, digits[y/scale%20], digits[x/scale%20])
		if scale == 20 {
			dst = append(dst, '+')
		}
	}
	return dst
}

// appendID appends a place_id: a hash of name, types and position, stable as long as these do not change.
//
// #nosec G115 -- each byte of a coordinate is wanted by itself
func appendID(dst []byte, p Place, types, source string) []byte {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(p.Name)
	_, _ = d.WriteString(types)
	at := [8]byte{byte(p.Lat), byte(p.Lat >> 8), byte(p.Lat >> 16), byte(p.Lat >> 24), byte(p.Lng),
		byte(p.Lng >> 8), byte(p.Lng >> 16), byte(p.Lng >> 24)}
	_, _ = d.Write(at[:])
	dst = append(append(append(dst, '"'), source...), '-')
	h := d.Sum64()
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[h>>shift&15])
	}
	return append(dst, '"')
}
