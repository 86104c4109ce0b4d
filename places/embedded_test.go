package places

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	olc "github.com/google/open-location-code/go"
)

// loaded has the data in both orders, unpacked once for all tests.
var loaded = func() (load [2]func() (*Index, error)) {
	for _, rank := range []Rank{ByClass, ByDistance} {
		load[rank] = sync.OnceValues(func() (*Index, error) { return NewEmbedded(rank) })
	}
	return load
}()

func embedded(t testing.TB, rank Rank) *Index {
	t.Helper()
	e, err := loaded[rank]()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func near(t testing.TB, rank Rank, q Query) Result {
	t.Helper()
	r, err := embedded(t, rank).Nearby(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The number of places within 1, 10 and 50 km of the paper's client and of some others.
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		name     string
		lat, lng float64
		want     [3]int
	}{
		{"UCLA", 34.068930, -118.445127, [3]int{2, 44, 348}},
		{"Tokyo station", 35.681236, 139.767125, [3]int{12, 167, 476}},
		{"Nairobi", -1.286389, 36.817223, [3]int{1, 5, 41}},
		{"the middle of the Pacific", 0, -140, [3]int{}},
	} {
		for i, radius := range []int{1_000, 10_000, 50_000} {
			q := Query{c.lat, c.lng, radius}
			if got := embedded(t, ByClass).Count(q); got != c.want[i] {
				t.Errorf("%s, %d m: %d places, want %d", c.name, radius, got, c.want[i])
			}
			r := near(t, ByClass, q)
			if want := min(20, c.want[i]); len(r.Results) != want {
				t.Errorf("%s, %d m: %d results, want %d", c.name, radius, len(r.Results), want)
			}
			if want := map[bool]string{true: "OK", false: "ZERO_RESULTS"}[c.want[i] > 0]; r.Status != want {
				t.Errorf("%s, %d m: %s, want %s", c.name, radius, r.Status, want)
			}
		}
	}
}

// Results are sorted by class and distance, or by distance, and none is missing.
func TestOrder(t *testing.T) {
	for _, q := range []Query{
		{34.06893, -118.445127, 50_000}, {35.681236, 139.767125, 10_000}, {-1.286389, 36.817223, 50_000},
	} {
		for _, rank := range []Rank{ByClass, ByDistance} {
			e := embedded(t, rank)
			var all []candidate
			e.within(q, func(i uint32, hav float64) {
				all = append(all, candidate{i, e.table.class[e.table.kind[i]], hav})
			})
			slices.SortFunc(all, func(a, b candidate) int {
				if rank == ByClass && a.class != b.class {
					return int(a.class) - int(b.class)
				}
				if a.hav != b.hav {
					return int(math.Copysign(1, a.hav-b.hav))
				}
				return int(a.place) - int(b.place)
			})
			for i, raw := range near(t, rank, q).Results {
				if want := appendPlace(nil, e.table.place(all[i].place), e.types(all[i].place), "embedded"); string(raw) != string(want) {
					t.Fatalf("rank %d, result %d is\n%s, want\n%s", rank, i, raw, want)
				}
			}
		}
	}
	kinds := func(rank Rank) (names []string) {
		for _, raw := range near(t, rank, Query{34.06893, -118.445127, 10_000}).Results {
			s, err := Summarize(raw)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, s.Type)
		}
		return names
	}
	count := func(names []string) (n int) {
		return len(slices.DeleteFunc(names, func(s string) bool { return s == "airport" }))
	}
	if a, b := count(kinds(ByClass)), count(kinds(ByDistance)); a != 15 || b != 5 {
		t.Errorf("of 20 places near UCLA %d are towns by class, %d by distance", a, b)
	}
}

// Places at the same distance keep the order of the table.
func TestOrderOfEquals(t *testing.T) {
	const n = 100
	all := table{lat: make([]int32, n), lng: make([]int32, n), kind: make([]uint16, n)}
	all.class = make([]uint8, 1)
	e := newIndex(all, ByDistance, "test", "[]")
	var best top
	for i := range uint32(n) {
		best.offer(candidate{place: (i*37 + 50) % n})
	}
	for i, c := range best.found {
		if c.place != uint32(i) {
			t.Errorf("place %d is number %d", c.place, i)
		}
	}
	if got := e.Count(Query{}); got != n {
		t.Errorf("%d places", got)
	}
}

// result has all members of an embedded result.
type result struct {
	Geometry struct {
		Location point `json:"location"`
		Viewport struct {
			Northeast point `json:"northeast"`
			Southwest point `json:"southwest"`
		} `json:"viewport"`
	} `json:"geometry"`
	Name     string `json:"name"`
	PlaceID  string `json:"place_id"`
	PlusCode struct {
		GlobalCode string `json:"global_code"`
	} `json:"plus_code"`
	Reference string   `json:"reference"`
	Scope     string   `json:"scope"`
	Types     []string `json:"types"`
	Vicinity  string   `json:"vicinity"`
}

type point struct {
	Lat float64 `json:"lat"`
	Lng float64 `json:"lng"`
}

// Every place has a unique id, the plus code of the reference implementation, and the required members.
func TestEveryPlace(t *testing.T) {
	e := embedded(t, ByClass)
	ids := map[string]bool{}
	for i := range uint32(e.Len()) {
		p := e.table.place(i)
		id := string(appendID(nil, p, e.types(i), "embedded"))
		if ids[id] {
			t.Errorf("%+v has the id of another place", p)
		}
		ids[id] = true
		if code := string(appendPlusCode(nil, p.Lat, p.Lng)); code != referenceCode(p) {
			t.Errorf("%+v has the code %s, want %s", p, code, referenceCode(p))
		}
		if p.Name == "" || p.Vicinity == "" || !utf8.ValidString(p.Name+p.Vicinity) ||
			strings.TrimSpace(p.Name) != p.Name || strings.Trim(p.Vicinity, " ,") != p.Vicinity {
			t.Errorf("%q is in %q", p.Name, p.Vicinity)
		}
	}
}

// Results have the expected members and no others.
func TestResults(t *testing.T) {
	e := embedded(t, ByClass)
	const some = 97 // test one of so many places
	for i := uint32(0); i < uint32(e.Len()); i += some {
		p := e.table.place(i)
		text := appendPlace(nil, p, e.types(i), "embedded")
		var r result
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		v, at := r.Geometry.Viewport, point{float64(p.Lat) / 1e5, float64(p.Lng) / 1e5}
		kind := []string{"locality", "neighborhood", "airport", "airport", "airport"}[p.Kind]
		if r.Name != p.Name || r.Vicinity != p.Vicinity || r.Scope != "APP" || r.Types[0] != kind ||
			`"`+r.PlaceID+`"` != string(appendID(nil, p, e.types(i), "embedded")) || r.Reference != r.PlaceID ||
			r.PlusCode.GlobalCode != referenceCode(p) || r.Geometry.Location != at ||
			v.Southwest.Lat > at.Lat || v.Northeast.Lat < at.Lat || v.Southwest.Lat == v.Northeast.Lat {
			t.Errorf("%+v became %s", p, text)
		}
	}
}

// referenceCode is a place's plus code by the reference implementation, for a position shifted by a tenth
// of a unit: on the edge of a cell its floating-point arithmetic may choose either side.
func referenceCode(p Place) string {
	return olc.Encode((float64(p.Lat)+0.1)*unit, (float64(p.Lng)+0.1)*unit, 10)
}

// What the data have not: corners of the map, and names that need escaping.
func TestPlacesAtTheCorners(t *testing.T) {
	for _, c := range []struct {
		lat, lng        int32
		north, east     float64
		south, west     float64
		latText, lngTxt string
	}{
		{90_00000, 180_00000, 90, -179.9865, 89.9865, 179.9865, "90", "180"},
		{-90_00000, -180_00000, -89.9865, -179.9865, -90, 179.9865, "-90", "-180"},
		{0, 0, 0.0135, 0.0135, -0.0135, -0.0135, "0", "0"},
		{-1, 10, 0.01349, 0.0136, -0.01351, -0.0134, "-0.00001", "0.0001"},
	} {
		text := appendPlace(nil, Place{Name: "\"\\\x01é\x7f", Vicinity: "\n", Lat: c.lat, Lng: c.lng}, "[]", "test")
		var r result
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		v := r.Geometry.Viewport
		if v.Northeast != (point{c.north, c.east}) || v.Southwest != (point{c.south, c.west}) {
			t.Errorf("%+v: viewport %+v", c, v)
		}
		location := fmt.Sprintf("\"lat\": %s,\n          \"lng\": %s\n", c.latText, c.lngTxt)
		if r.Name != "\"\\\x01é\x7f" || r.Vicinity != "\n" || !strings.Contains(string(text), location) {
			t.Errorf("%+v became %s", c, text)
		}
		if want := referenceCode(Place{Lat: c.lat, Lng: c.lng}); r.PlusCode.GlobalCode != want {
			t.Errorf("%+v: code %s, want %s", c, r.PlusCode.GlobalCode, want)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	e, q := embedded(t, ByClass), Query{34.06893, -118.445127, 10_000}
	want := string(AppendJSON(nil, near(t, ByClass, q), 20))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, err := e.Nearby(context.Background(), q)
			if got := string(AppendJSON(nil, r, 20)); got != want || err != nil {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	wg.Wait()
}

// An answer's text, whole. It changes with the data and with nothing else.
func TestAnswerText(t *testing.T) {
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{34.06893, -118.445127, 1000}, "testdata/ucla.json"},
		{Query{0, -140, 50_000}, "testdata/pacific.json"},
	} {
		golden(t, c.want, append(AppendJSON(nil, near(t, ByClass, c.q), 20), '\n'))
	}
}

func TestParseRank(t *testing.T) {
	for name, want := range map[string]Rank{"class": ByClass, "distance": ByDistance} {
		if got, err := ParseRank(name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseRank("Class"); err == nil {
		t.Error("Class is a rank")
	}
}

func BenchmarkEmbedded(b *testing.B) {
	e := embedded(b, ByClass)
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"UCLA/10km", Query{34.06893, -118.445127, 10_000}},
		{"UCLA/50km", Query{34.06893, -118.445127, 50_000}},
		{"Tokyo/10km", Query{35.681236, 139.767125, 10_000}},
		{"Tokyo/50km", Query{35.681236, 139.767125, 50_000}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := e.Nearby(b.Context(), c.q)
				AppendJSON(nil, r, 20)
			}
		})
	}
}

// The time of a load, and the memory that it leaves in use.
func BenchmarkNewEmbedded(b *testing.B) {
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	b.ReportAllocs()
	var e *Index
	for b.Loop() {
		var err error
		if e, err = NewEmbedded(ByClass); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(inUse()-before)/1e6, "MB-kept")
	runtime.KeepAlive(e)
}

func BenchmarkParse(b *testing.B) {
	answer := AppendJSON(nil, near(b, ByClass, Query{34.06893, -118.445127, 50_000}), 20)
	b.ReportAllocs()
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		if _, err := Parse(answer); err != nil {
			b.Fatal(err)
		}
	}
}
