package places

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// columns are what a place has, the first three of which it must have: the columns of a CSV file, the
// members of a JSON object.
var columns = [...]string{"name", "lat", "lng", "types", "vicinity"}

const neededColumns = 3

// The indices of columns.
const (
	columnName = iota
	columnLat
	columnLng
	columnTypes
	columnVicinity
)

// knownColumns are the names under which columns are found without FileOptions.Columns: also those of
// GTFS (stops.txt) and of OurAirports.
var knownColumns = [len(columns)][]string{
	columnName:     {"name", "stop_name"},
	columnLat:      {"lat", "latitude", "latitude_deg", "stop_lat"},
	columnLng:      {"lng", "lon", "long", "longitude", "longitude_deg", "stop_lon"},
	columnTypes:    {"types"},
	columnVicinity: {"vicinity"},
}

// gridColumns are taken for lat and lng together, if nothing else is: beside a latitude they are the
// coordinates of some other grid.
var gridColumns = [len(columns)]string{columnLat: "y", columnLng: "x"}

// CheckColumns says what is wrong with FileOptions.Columns by itself.
func CheckColumns(names map[string]string) error {
	unknown := ""
	for name := range names { // order: the first by name is told
		if !slices.Contains(columns[:], name) && (unknown == "" || name < unknown) {
			unknown = name
		}
	}
	if unknown != "" {
		return fmt.Errorf("%.64q is no column; there are %s", unknown, strings.Join(columns[:], ", "))
	}
	for _, name := range columns {
		if given, ok := names[name]; ok && trim(given) == "" {
			return fmt.Errorf("%s is empty; it is what the file calls its %s", name, name)
		}
	}
	return nil
}

// layout says where the values of a place stand among the columns of a file or the members of an
// object.
type layout struct {
	names []string
	at    [len(columns)]int // an index of names, or -1
}

// problem is what is wrong with a layout, at one of its names or at none: -1.
type problem struct {
	at    int
	what  string
	twice bool // the file has one name twice, and FileOptions.Columns cannot help
}

// newLayout finds the columns among names. There is a problem for each column that is not found as
// FileOptions.Columns wants it, or that more than one name could be. A column that is not there is
// none.
func newLayout(names []string, wanted map[string]string) (l layout, problems []problem) {
	l.names = names
	for c, column := range columns {
		found, given := []int(nil), trim(wanted[column])
		if given != "" {
			if found = all(names, given); found == nil {
				problems = append(problems, problem{at: -1, what: fmt.Sprintf("there is no %.64q, which columns names for %s", given, column)})
			}
		} else {
			for _, known := range knownColumns[c] {
				found = append(found, all(names, known)...)
			}
		}
		switch {
		case len(found) == 0:
			l.at[c] = -1
			continue
		case len(found) > 1:
			problems = append(problems, twice(names, found, column))
		}
		l.at[c] = found[0]
	}
	if l.at[columnLat] < 0 && l.at[columnLng] < 0 && wanted["lat"] == "" && wanted["lng"] == "" {
		y, x := all(names, gridColumns[columnLat]), all(names, gridColumns[columnLng])
		if len(y) == 1 && len(x) == 1 {
			l.at[columnLat], l.at[columnLng] = y[0], x[0]
		}
	}
	return l, problems
}

// twice is the problem of a column that several names could be.
func twice(names []string, found []int, column string) problem {
	slices.Sort(found)
	a, b := names[found[0]], names[found[1]]
	if a == b {
		return problem{found[1], fmt.Sprintf("%.64q stands there twice", a), true}
	}
	return problem{at: found[1], what: fmt.Sprintf("both %.64q and %.64q could be %s", a, b, column)}
}

// all are the names that are a wanted one: as it is written, or else in capitals or small letters.
func all(names []string, wanted string) (found []int) {
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		for i, name := range names {
			if same(name, wanted) {
				found = append(found, i)
			}
		}
		if found != nil {
			break
		}
	}
	return found
}

// lacks says which needed columns are not there; "" if all are.
func (l *layout) lacks() string {
	var all []string
	for c, column := range columns[:neededColumns] {
		if l.at[c] < 0 {
			all = append(all, "no "+column)
		}
	}
	if all == nil {
		return ""
	}
	return "there is " + strings.Join(all, ", ")
}

// advice is what to write so that the columns are found, with those names that look like them.
func (l *layout) advice(wanted map[string]string) string {
	var toml, flag []string
	for c, column := range columns[:neededColumns] {
		name := "..."
		switch {
		case wanted[column] != "" && l.at[c] >= 0:
			name = wanted[column]
		case l.at[c] >= 0:
			name = l.names[l.at[c]]
		default:
			name = cmp.Or(l.similar(c), name)
		}
		toml = append(toml, fmt.Sprintf("%s = %.64q", column, name))
		flag = append(flag, fmt.Sprintf("%s=%.64s", column, name))
	}
	return fmt.Sprintf("it has %s; say which is which, as columns = { %s }, or --columns %s",
		l.list(), strings.Join(toml, ", "), strings.Join(flag, ","))
}

// similar is the only name with a part that is a known one's, as site_lat, or "".
func (l *layout) similar(column int) (only string) {
	for i, name := range l.names {
		if slices.Contains(l.at[:], i) {
			continue
		}
		parts := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune(" _-.:", r) })
		if !slices.ContainsFunc(parts, func(p string) bool { return slices.Contains(knownColumns[column], p) }) {
			continue
		}
		if only != "" {
			return ""
		}
		only = name
	}
	return only
}

// namesShown is how many names of a file a message lists.
const namesShown = 20

// list is the names for a message.
func (l *layout) list() string {
	var quoted []string
	for _, name := range l.names[:min(len(l.names), namesShown)] {
		quoted = append(quoted, fmt.Sprintf("%.64q", name))
	}
	if len(l.names) > namesShown {
		quoted = append(quoted, fmt.Sprintf("and %d more", len(l.names)-namesShown))
	}
	return strings.Join(quoted, ", ")
}
