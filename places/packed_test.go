package places

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"testing"
)

var update = flag.Bool("update", false,
	"rewrite the golden files; commit the difference only if it is understood")

// golden compares got with a file.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// The committed files have the checksums and counts that places/generate printed.
func TestPackedFiles(t *testing.T) {
	for _, c := range []struct {
		name   string
		packed []byte
		sum    string
		counts [kinds]int
	}{
		{"geonames", packedGeoNames, "6fce591a20a59b9f0d47536d058223fd5eebc210a51bbee434f02055a0a3d463",
			[kinds]int{Locality: 224_239, Neighborhood: 6_237}},
		{"ourairports", packedAirports, "67cb6fc9bde5e3bc19850b28c4bfab5d0c15595a7cf06b0804c1991fa2d493f2",
			[kinds]int{Airport: 5_080, Airfield: 38_672, Heliport: 15_999}},
	} {
		sum := sha256.Sum256(c.packed)
		if got := hex.EncodeToString(sum[:]); got != c.sum {
			t.Errorf("%s: sha256 %s", c.name, got)
		}
		var data table
		if err := data.add(c.packed); err != nil {
			t.Fatal(err)
		}
		var counts [kinds]int
		for _, k := range data.kind {
			counts[k]++
		}
		if counts != c.counts {
			t.Errorf("%s: %v, want %v", c.name, counts, c.counts)
		}
	}
	if n := embedded(t, ByClass).Len(); n != 290_227 {
		t.Errorf("%d places in all", n)
	}
}

func TestPack(t *testing.T) {
	first := []Place{
		{"Zoë", "a", 90_00000, 180_00000, Heliport}, {"", "", -90_00000, -180_00000, Locality},
		{"x", "a", 0, -1, Airfield},
	}
	second := []Place{{"x", "b", 1, 2, Airport}, {"y", "a", 1, 2, Neighborhood}}
	var data table
	for _, all := range [][]Place{first, nil, second} {
		packed, err := Pack(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := data.add(packed); err != nil {
			t.Fatal(err)
		}
	}
	var got []Place
	for i := range data.len() {
		got = append(got, data.place(uint32(i)))
	}
	if want := append(first, second...); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A truncated or modified file is an error or a valid table: no panic, and every place within bounds.
func TestUnpackDamaged(t *testing.T) {
	packed, err := Pack([]Place{{"Zoë", "a", 90_00000, 180_00000, Heliport}, {"x", "bc", 0, -1, Airfield}})
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range raw {
		if err := new(table).unpack(raw[:cut]); err != errPacked {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
	more := append(bytes.Clone(raw), 0)
	for _, damaged := range [][]byte{
		more, binary.AppendUvarint(nil, 1<<62), binary.AppendUvarint([]byte{0}, 1<<62),
	} {
		if err := new(table).unpack(damaged); err != errPacked {
			t.Errorf("%v: %v", damaged, err)
		}
	}
	for i := range raw {
		for v := range 256 {
			changed := bytes.Clone(raw)
			changed[i] = byte(v)
			var data table
			if data.unpack(changed) != nil {
				continue
			}
			for k := range data.len() {
				p := data.place(uint32(k))
				if p.Kind >= kinds || max(p.Lat, -p.Lat) > 90_00000 || max(p.Lng, -p.Lng) > 180_00000 {
					t.Fatalf("byte %d as %d: %+v", i, v, p)
				}
			}
		}
	}
	if err := new(table).add(packed[:len(packed)-1]); !errors.Is(err, errPacked) {
		t.Error(err)
	}
}
