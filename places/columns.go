package places

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// columns are the properties of a place: columns of a CSV file or members of a JSON object. The first three
// (neededColumns) are required.
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

// knownColumns are the names that are recognized without FileOptions.Columns, including those of GTFS
// (stops.txt) and OurAirports.
var knownColumns = [len(columns)][]string{
	columnName:     {"name", "stop_name"},
	columnLat:      {"lat", "latitude", "latitude_deg", "stop_lat"},
	columnLng:      {"lng", "lon", "long", "longitude", "longitude_deg", "stop_lon"},
	columnTypes:    {"types"},
	columnVicinity: {"vicinity"},
}

// gridColumns are used for lat and lng only together, and only if there is no other name for either: next
// to a latitude they are coordinates of another grid.
var gridColumns = [len(columns)]string{columnLat: "y", columnLng: "x"}

// CheckColumns returns an error if FileOptions.Columns is invalid for every file.
func CheckColumns(names map[string]string) error {
	unknown := ""
	for name := range names { // order: the first by name is reported
		if !slices.Contains(columns[:], name) && (unknown == "" || name < unknown) {
			unknown = name
		}
	}
	if unknown != "" {
		return fmt.Errorf("unknown column %.64q; columns are %s", unknown, strings.Join(columns[:], ", "))
	}
	for _, name := range columns {
		if given, ok := names[name]; ok && trim(given) == "" {
			return fmt.Errorf("%s is empty; expected the file's name for column %s", name, name)
		}
	}
	return nil
}

// layout maps the properties of a place to the columns of a file or the members of an object.
type layout struct {
	names []string
	at    [len(columns)]int // an index of names, or -1
}

// problem is an error in a layout.
type problem struct {
	at        int // the index of a name, or -1
	what      string
	duplicate bool // the file has a name twice: FileOptions.Columns does not help
}

// newLayout finds the columns among names. It reports a problem for each column that FileOptions.Columns
// names and that is missing, and for each that matches more than one name. Any other missing column is not
// a problem here.
func newLayout(names []string, wanted map[string]string) (l layout, problems []problem) {
	l.names = names
	for c, column := range columns {
		found, given := []int(nil), trim(wanted[column])
		if given != "" {
			if found = all(names, given); found == nil {
				problems = append(problems, problem{at: -1, what: fmt.Sprintf("no column %.64q, which is configured for %s", given, column)})
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
			problems = append(problems, ambiguous(names, found, column))
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

// ambiguous is the problem of a column that matches several names.
func ambiguous(names []string, found []int, column string) problem {
	slices.Sort(found)
	a, b := names[found[0]], names[found[1]]
	if a == b {
		return problem{found[1], fmt.Sprintf("duplicate column %.64q", a), true}
	}
	return problem{at: found[1], what: fmt.Sprintf("both %.64q and %.64q could be %s", a, b, column)}
}

// all returns the indices of the names equal to wanted, or if there are none, equal except for case.
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

// lacks lists the required columns that are missing; "" if none is.
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
	return strings.Join(all, ", ")
}

// advice says how to configure the columns, with names from the file that look similar.
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
	return fmt.Sprintf("the file has %s; map them with columns = { %s } or --columns %s",
		l.list(), strings.Join(toml, ", "), strings.Join(flag, ","))
}

// similar is the only name with a part that is a known name, such as site_lat; "" if there is not exactly
// one.
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

// namesShown is the maximum number of names in a message.
const namesShown = 20

// list formats the names for a message.
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
