package places

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the data
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The packed data, made by places/generate.
var (
	//go:embed data/geonames.bin.gz
	packedGeoNames []byte
	//go:embed data/ourairports.bin.gz
	packedAirports []byte
)

// Kind is the kind of a place.
type Kind uint8

// The kinds, in the order of their class: towns and neighborhoods, airports with scheduled service, small
// airfields, heliports. Without classes, heliports would fill the answers in a city.
const (
	Locality Kind = iota
	Neighborhood
	Airport
	Airfield
	Heliport
	kinds
)

// class is the rank of a kind: a lower class comes first, at any distance.
func (k Kind) class() uint8 { return [kinds]uint8{0, 0, 1, 2, 3}[k] }

const (
	localityTypes     = "[\n        \"locality\",\n        \"political\"\n      ]"
	neighborhoodTypes = "[\n        \"neighborhood\",\n        \"political\"\n      ]"
	airportTypes      = "[\n        \"airport\",\n        \"point_of_interest\",\n" +
		"        \"establishment\"\n      ]"
)

// types are the kind's Google place types, indented as a member of a result.
func (k Kind) types() string {
	return [kinds]string{
		localityTypes, neighborhoodTypes, airportTypes, airportTypes, airportTypes,
	}[k]
}

// Place is one place of the packed files.
type Place struct {
	Name     string
	Vicinity string // as in Google's answers: an address or a region
	Lat, Lng int32  // in units of 1e-5 degree, north and east positive
	Kind     Kind
}

// Pack writes places as a packed file: gzip of columns of varints, with coordinates as differences, so that
// places near each other should be consecutive. Used by the generator.
func Pack(all []Place) ([]byte, error) {
	p := binary.AppendUvarint(nil, uint64(len(all)))
	var words []string
	number := map[string]int{}
	for _, x := range all {
		if _, known := number[x.Vicinity]; !known {
			number[x.Vicinity] = len(words)
			words = append(words, x.Vicinity)
		}
	}
	p = binary.AppendUvarint(p, uint64(len(words)))
	for _, w := range words {
		p = append(binary.AppendUvarint(p, uint64(len(w))), w...)
	}
	for _, x := range all {
		p = append(p, byte(x.Kind))
	}
	var lat, lng int32
	for _, x := range all {
		p = binary.AppendVarint(p, int64(x.Lat-lat))
		lat = x.Lat
	}
	for _, x := range all {
		p = binary.AppendVarint(p, int64(x.Lng-lng))
		lng = x.Lng
	}
	for _, x := range all {
		p = binary.AppendUvarint(p, uint64(number[x.Vicinity]))
	}
	for _, x := range all {
		p = binary.AppendUvarint(p, uint64(len(x.Name)))
	}
	for _, x := range all {
		p = append(p, x.Name...)
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(p); err != nil {
		return nil, err
	}
	err = z.Close()
	return out.Bytes(), err
}

// unpacker reads the output of Pack. After an error it returns zeros.
type unpacker struct {
	p   []byte
	err error
}

var errPacked = errors.New("packed places are damaged")

func (u *unpacker) check(ok bool) {
	if !ok {
		u.err, u.p = errPacked, nil
	}
}

func (u *unpacker) uvarint() uint64 {
	v, n := binary.Uvarint(u.p)
	if n <= 0 {
		u.check(false)
		return 0
	}
	u.p = u.p[n:]
	return v
}

// count reads a number of items of at least one byte each.
func (u *unpacker) count() int {
	v := u.uvarint()
	u.check(v <= uint64(len(u.p)))
	if u.err != nil {
		return 0
	}
	// #nosec G115 -- it is at most len(u.p)
	return int(v)
}

func (u *unpacker) bytes(n uint64) []byte {
	if n > uint64(len(u.p)) {
		u.check(false)
		return nil
	}
	b := u.p[:n]
	u.p = u.p[n:]
	return b
}

// deltas appends n coordinates, each stored as the difference from the previous one.
func (u *unpacker) deltas(dst []int32, n int, most int64) []int32 {
	v := int64(0)
	for range n {
		d, size := binary.Varint(u.p)
		v += d
		u.check(size > 0 && d >= -2*most && d <= 2*most && v >= -most && v <= most)
		if u.err != nil {
			return dst
		}
		u.p = u.p[size:]
		// #nosec G115 -- it is from -most to most, or the data is refused
		dst = append(dst, int32(v))
	}
	return dst
}

// table stores places in columns. Names are parts of one long string.
type table struct {
	names   string
	nameEnd []uint32
	words   []string
	word    []uint32
	lat     []int32
	lng     []int32
	kind    []uint16
	types   []string // by kind: Google's place types, indented as a member of a result
	class   []uint8  // by kind, see Kind.class
}

func (t *table) len() int { return len(t.kind) }

func (t *table) place(i uint32) Place {
	start := uint32(0)
	if i > 0 {
		start = t.nameEnd[i-1]
	}
	return Place{
		Name: t.names[start:t.nameEnd[i]], Vicinity: t.words[t.word[i]],
		// #nosec G115 -- only embedded places have a meaningful Kind, and unpack has checked it
		Lat: t.lat[i], Lng: t.lng[i], Kind: Kind(t.kind[i]),
	}
}

// around is the bounding box of the places from first to end, excluding end.
func (t *table) around(first, end int) box {
	lats, lngs := t.lat[first:end], t.lng[first:end]
	return box{
		west: int64(slices.Min(lngs)), south: int64(slices.Min(lats)),
		east: int64(slices.Max(lngs)), north: int64(slices.Max(lats)),
	}
}

// add appends the places of a packed file. Every error is errPacked: users cannot repair embedded data.
func (t *table) add(packed []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	// The file ends with its unpacked size (RFC 1952, section 2.3.1). 1032 is the maximum compression ratio
	// of deflate.
	size := min(int(binary.LittleEndian.Uint32(packed[len(packed)-4:])), 1032*len(packed))
	raw := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := raw.ReadFrom(z); err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	return t.unpack(raw.Bytes())
}

func (t *table) unpack(raw []byte) error {
	u := &unpacker{p: raw}
	n, words := u.count(), u.count()
	t.grow(n, words)
	firstWord := uint64(len(t.words))
	for range words {
		t.words = append(t.words, string(u.bytes(u.uvarint())))
	}
	for _, k := range u.bytes(uint64(n)) {
		t.kind = append(t.kind, uint16(k))
		u.check(Kind(k) < kinds)
	}
	t.lat, t.lng = u.deltas(t.lat, n, 90_00000), u.deltas(t.lng, n, 180_00000)
	for range n {
		w := firstWord + u.uvarint()
		u.check(w < uint64(len(t.words)))
		// #nosec G115 -- it is below len(t.words), or the data is refused
		t.word = append(t.word, uint32(w))
	}
	at := uint64(len(t.names))
	for range n {
		at += u.uvarint()
		u.check(at <= math.MaxUint32)
		// #nosec G115 -- it is at most math.MaxUint32, or the data is refused
		t.nameEnd = append(t.nameEnd, uint32(at))
	}
	t.names += string(u.bytes(at - uint64(len(t.names))))
	u.check(len(u.p) == 0)
	return u.err
}

func (t *table) grow(n, words int) {
	t.words = slices.Grow(t.words, words)
	t.kind = slices.Grow(t.kind, n)
	t.lat, t.lng = slices.Grow(t.lat, n), slices.Grow(t.lng, n)
	t.word, t.nameEnd = slices.Grow(t.word, n), slices.Grow(t.nameEnd, n)
}
