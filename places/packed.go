package places

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the data
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// The packed data, made by places/generate.
var (
	//go:embed data/geonames.bin.gz
	packedGeoNames []byte
	//go:embed data/ourairports.bin.gz
	packedAirports []byte
)

// Kind is what sort of place one is.
type Kind uint8

// The kinds, in the order of their class: towns and neighborhoods first, then airports with
// scheduled service, then small fields, then heliports, which would otherwise crowd out the rest
// of a city.
const (
	Locality Kind = iota
	Neighborhood
	Airport
	Airfield
	Heliport
	kinds
)

// class is the rank of a kind: a better class comes first, whatever the distance.
func (k Kind) class() uint8 { return [kinds]uint8{0, 0, 1, 2, 3}[k] }

// types are the kind's Google place types.
func (k Kind) types() string {
	return [kinds]string{
		`["locality", "political"]`,
		`["neighborhood", "political"]`,
		`["airport", "point_of_interest", "establishment"]`,
		`["airport", "point_of_interest", "establishment"]`,
		`["airport", "point_of_interest", "establishment"]`,
	}[k]
}

// Place is one place as the packed files hold it.
type Place struct {
	Name     string
	Vicinity string // where it is, in words
	Lat, Lng int32  // in units of 1e-5 degree, north and east positive
	Kind     Kind
}

// unit is degrees per unit of a packed coordinate.
const unit = 1e-5

// Pack writes places, which should be in an order in which neighbors are near, as a packed file:
// gzip around columns of varints, coordinates as differences. Used by the generator.
func Pack(all []Place) ([]byte, error) {
	p := binary.AppendUvarint(nil, uint64(len(all)))
	words, number := []string{}, map[string]int{}
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

// unpacker reads what Pack wrote.
type unpacker struct {
	p   []byte
	err error
}

var errPacked = errors.New("packed places are damaged")

func (u *unpacker) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(u.p)
	if n <= 0 || v > most {
		u.err, u.p = errPacked, nil
		return 0
	}
	u.p = u.p[n:]
	return v
}

func (u *unpacker) varint() int64 {
	v, n := binary.Varint(u.p)
	if n <= 0 {
		u.err, u.p = errPacked, nil
		return 0
	}
	u.p = u.p[n:]
	return v
}

func (u *unpacker) bytes(n uint64) []byte {
	if n > uint64(len(u.p)) {
		u.err, u.p = errPacked, nil
		return nil
	}
	b := u.p[:n]
	u.p = u.p[n:]
	return b
}

// table is many places, in columns: a name is a part of one long string.
type table struct {
	names   string
	nameEnd []uint32
	words   []string
	word    []uint32
	lat     []int32
	lng     []int32
	kind    []Kind
}

func (t *table) len() int { return len(t.kind) }

func (t *table) place(i uint32) Place {
	start := uint32(0)
	if i > 0 {
		start = t.nameEnd[i-1]
	}
	return Place{
		Name: t.names[start:t.nameEnd[i]], Vicinity: t.words[t.word[i]],
		Lat: t.lat[i], Lng: t.lng[i], Kind: t.kind[i],
	}
}

// add appends the places of a packed file.
func (t *table) add(packed []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return fmt.Errorf("%w: %w", errPacked, err)
	}
	u := &unpacker{p: raw}
	n := int(u.uvarint(uint64(len(raw))))
	firstWord := uint64(len(t.words))
	words := u.uvarint(uint64(len(raw)))
	for range words {
		t.words = append(t.words, string(u.bytes(u.uvarint(uint64(len(raw))))))
	}
	for _, k := range u.bytes(uint64(n)) {
		if t.kind = append(t.kind, Kind(k)); Kind(k) >= kinds {
			return errPacked
		}
	}
	t.lat, t.lng = u.deltas(t.lat, n), u.deltas(t.lng, n)
	for range n {
		t.word = append(t.word, uint32(firstWord+u.uvarint(words-1)))
	}
	at := uint64(len(t.names))
	for range n {
		at += u.uvarint(uint64(len(raw)))
		t.nameEnd = append(t.nameEnd, uint32(min(at, math.MaxUint32)))
	}
	t.names += string(u.bytes(at - uint64(len(t.names))))
	if u.err != nil || len(u.p) > 0 {
		return errPacked
	}
	return nil
}

func (u *unpacker) deltas(dst []int32, n int) []int32 {
	v := int64(0)
	for range n {
		v += u.varint()
		dst = append(dst, int32(v))
	}
	return dst
}
