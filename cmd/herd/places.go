package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/view"
	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/protocol"
)

// lookup is the query of the places command, and its flags.
type lookup struct {
	*options
	query        places.Query
	provider     string // "" for the one in herd.toml
	path         string // likewise
	columns      string // likewise; see parseColumns
	lenient      bool   // likewise, if lenientGiven
	lenientGiven bool
	timeout      time.Duration // 0 for the one in herd.toml
	json         bool
}

func newPlaces(o *options) *cobra.Command {
	l := &lookup{options: o}
	c := &cobra.Command{
		Use:   "places LAT,LNG [KM=10]",
		Short: "Query the configured places provider directly",
		Long: "Query the places provider of herd.toml, or another one, for places within KM\n" +
			"kilometers (0 to 50) of a position (LAT,LNG or ISO 6709), for example to check\n" +
			"an API key or a places file. A lookup that costs money counts in the daily\n" +
			"budget. There is no fallback if it fails.\n\n" +
			"A places file is CSV (.csv, .tsv, .txt) with a header line, or JSON objects\n" +
			"(.json, .ndjson, .jsonl), one per line or in an array; it may be compressed\n" +
			"(.gz). Required columns are name, lat and lng; optional ones are types and\n" +
			"vicinity. latitude, longitude, lon, long, x and y and the column names of GTFS\n" +
			"stops.txt and of OurAirports are recognized; --columns maps other names. All\n" +
			"other columns are ignored. --columns, --lenient and --path override columns,\n" +
			"lenient and path in herd.toml, where they look like this:\n\n" +
			"  [places]\n" +
			"  provider = \"file\"\n" +
			"  path     = \"sites.csv\"\n" +
			"  columns  = { name = \"site\", lat = \"site_lat\", lng = \"site_lon\" }\n" +
			"  lenient  = true",
		Example: "  herd places 34.06893,-118.445127 10\n" +
			"  herd places -33.8568,151.2153 --provider embedded\n" +
			"  herd places +34.068930-118.445127 --json\n" +
			"  printf 'name,lat,lng\\nCafe Synapse,34.0672,-118.4435\\n' > cafes.csv\n" +
			"  herd places 34.06893,-118.445127 --path cafes.csv\n" +
			"  printf 'name,north,east\\nPump,34.0672,-118.4435\\nStore,,\\n' > my.csv\n" +
			"  herd places 34.07,-118.4 --path my.csv --columns lat=north,lng=east --lenient",
		Args:              arguments(1, 2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if l.query, err = parseQuery(args); err != nil {
				return usage("%v; usage: %s", err, c.UseLine())
			}
			l.lenientGiven = c.Flags().Changed("lenient")
			return l.run(c.OutOrStdout())
		},
	}
	textFlag(c.Flags(), &o.at, "at", "", "a server's name", "`name` of the server whose budget is used (default the first)")
	complete(c, "at", o.completeServers)
	choiceFlag(c, &l.provider, "provider", "", config.Providers,
		"`provider` to query (default herd.toml's): "+strings.Join(config.Providers, ", "))
	textFlag(c.Flags(), &l.path, "path", "", "a file", "places `file` to query, for provider file")
	complete(c, "path", cobra.FixedCompletions(append([]string{"gz"}, places.FileSuffixes...),
		cobra.ShellCompDirectiveFilterFileExt))
	reasonedFlag(c.Flags(), &l.columns, "columns", "names as "+columnsForm,
		"names of the file's `columns`, such as "+columnsForm, func(text string) error {
			_, err := parseColumns(text)
			return err
		})
	c.Flags().BoolVar(&l.lenient, "lenient", false, "skip and count places without a name or a position")
	durationFlag(c.Flags(), &l.timeout, "timeout", 0, time.Millisecond, time.Hour,
		"timeout of the lookup (default places.timeout of herd.toml, 5s if it has none)")
	c.Flags().BoolVar(&l.json, "json", false, "print the Nearby Search object")
	return c
}

func (l *lookup) run(out io.Writer) error {
	cfg, err := l.load()
	if err != nil {
		return err
	}
	if l.timeout > 0 {
		cfg.Places.Timeout = l.timeout
	}
	server := cfg.Servers[0]
	if l.at != "" {
		if server, err = findFor("at", cfg, l.at); err != nil {
			return err
		}
	}
	if err := l.choose(&cfg.Places); err != nil {
		return err
	}
	provider, err := newProvider(&cfg.Places, server.Name, nil)
	if err != nil {
		return err
	}
	r, err := provider.Nearby(context.Background(), l.query)
	status := report(&cfg.Places, provider)
	if err != nil {
		return fmt.Errorf("places provider %s: %w%s", cfg.Places.Provider, err, advice(err, status))
	}
	if l.json {
		_, err := fmt.Fprintf(out, "%s\n", view.JSON(places.AppendJSON(nil, r, protocol.MaxBound)))
		return err
	}
	return printPlaces(out, l.query, r, status)
}

// choose overrides herd.toml with the flags. It disables the fallback, which would hide errors of the
// provider.
func (l *lookup) choose(c *config.Places) error {
	c.Fallback = ""
	if l.path != "" {
		c.Path = l.path
		if l.provider == "" {
			l.provider = "file"
		}
	}
	if l.provider != "" {
		c.Provider = l.provider
	}
	if l.columns != "" {
		c.Columns, _ = parseColumns(l.columns)
	}
	if l.lenientGiven {
		c.Lenient = l.lenient
	}
	for _, flag := range []struct {
		name  string
		given bool
	}{{"path", l.path != ""}, {"columns", l.columns != ""}, {"lenient", l.lenientGiven}} {
		if flag.given && c.Provider != "file" {
			return usage("--%s requires provider file, not %s", flag.name, c.Provider)
		}
	}
	switch {
	case c.Provider == "file" && c.Path == "":
		return usage("provider file requires --path FILE with a name that ends in .%s",
			strings.Join(places.FileSuffixes, ", ."))
	}
	return nil
}

// columnsForm is an example of --columns.
const columnsForm = "name=site,lat=site_lat,lng=site_lon"

// parseColumns parses --columns: COLUMN=NAME pairs separated by commas. A pair that contains a comma is
// quoted, as in CSV.
func parseColumns(text string) (map[string]string, error) {
	pairs, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, errors.New("not a list of COLUMN=NAME separated by commas (quote a pair that contains a comma)")
	}
	all := map[string]string{}
	for _, pair := range pairs {
		column, name, ok := strings.Cut(pair, "=")
		column = strings.TrimSpace(column)
		switch _, again := all[column]; {
		case !ok:
			return nil, fmt.Errorf("no = in %s", shown(pair))
		case again:
			return nil, fmt.Errorf("duplicate column %s", shown(column))
		}
		all[column] = name
	}
	return all, places.CheckColumns(all)
}

// parseQuery parses a position and a radius in kilometers.
func parseQuery(args []string) (q places.Query, err error) {
	var ok bool
	if _, q.Lat, q.Lng, ok = parsePosition(args[0]); !ok {
		return q, fmt.Errorf("%s is not a position: want %s", shown(args[0]), positionForms)
	}
	km := 10.0
	if len(args) > 1 {
		if km, ok = parseNumber(args[1], 0, protocol.MaxRadiusKM); !ok {
			return q, fmt.Errorf("%s is not a number of kilometers from 0 to %d", shown(args[1]),
				protocol.MaxRadiusKM)
		}
	}
	q.RadiusM = int(math.Round(km * 1000))
	return q, nil
}

// Maximum display widths of a name, a kind, and a line below the table.
const (
	widestName = 60
	widestKind = 30
	widestLine = 500
)

// printPlaces prints one line per result, in the provider's order, and below them their number and source.
// The distance comes first: if a right-to-left name did, terminals would set the whole line from right to
// left.
func printPlaces(out io.Writer, q places.Query, r places.Result, by *places.Report) error {
	var text bytes.Buffer
	var rows [][]string
	for _, raw := range r.Results {
		s, _ := places.Summarize(raw) // show what is valid of a malformed result
		far := "-"
		if s.Located {
			far = distance(places.Distance(q.Lat, q.Lng, s.Lat, s.Lng))
		}
		rows = append(rows, []string{far, view.Cell(s.Name, widestName), view.Cell(s.Type, widestKind)})
	}
	columns := []view.Column{{Head: "DISTANCE", Right: true}, {Head: "NAME"}, {Head: "KIND"}}
	if len(rows) > 0 {
		fmt.Fprintln(&text, strings.Join(view.Table(columns, rows, nil), "\n")+"\n")
	}
	fmt.Fprintf(&text, "%s within %v km of %v,%v, by %s\n", counted(len(rows)),
		float64(q.RadiusM)/1000, q.Lat, q.Lng, view.Cell(source(by), widestLine))
	for _, credit := range attributions(r) {
		fmt.Fprintln(&text, view.Cell(fromHTML(credit), widestLine))
	}
	_, err := text.WriteTo(out)
	return err
}

// counted formats the number of places.
func counted(n int) string {
	switch {
	case n == 0:
		return "no places"
	case n == 1:
		return "1 place"
	case n >= protocol.MaxBound:
		return fmt.Sprintf("the first %d places", n)
	}
	return fmt.Sprintf("%d places", n)
}

// distance formats a distance, in meters or kilometers.
func distance(meters float64) string {
	if meters < 999.5 {
		return fmt.Sprintf("%.0f m", meters)
	}
	return fmt.Sprintf("%.1f km", meters/1000)
}

// source describes the provider of an answer.
func source(by *places.Report) string {
	switch {
	case by.File != nil:
		text := fmt.Sprintf("provider %s, %s in %s", by.Provider, load.Plural(by.File.Places, "place", "places"), by.File.Path)
		if n := by.File.Skipped; n > 0 {
			text += fmt.Sprintf(", %d without a name or a position skipped", n)
		}
		return text
	case by.Network != nil:
		b := by.Network.Budget
		return fmt.Sprintf("provider %s, %d of %d lookups used today (UTC)",
			by.Provider, b.Spent, b.Limit)
	}
	return "provider " + by.Provider
}

// attributions are the lines that must be displayed with an answer.
func attributions(r places.Result) (lines []string) {
	for _, fields := range [][]places.Field{r.Before, r.After} {
		for _, f := range fields {
			if f.Name == "html_attributions" {
				_ = json.Unmarshal(f.Value, &lines) // ignore anything that is not an array of strings
			}
		}
	}
	return lines
}

// advice is a hint that is appended to the error of a failed lookup.
func advice(err error, by *places.Report) string {
	var f *places.Failure
	switch {
	case errors.As(err, &f) && f.Kind == places.Denied && by.Provider == "google-legacy":
		return "; check the API key and that its project has the legacy Places API, " +
			"which new projects cannot enable: try --provider google"
	case errors.As(err, &f) && f.Kind == places.Denied:
		return "; check the API key and that its project has the Places API (New)"
	case errors.As(err, &f) && f.Kind == places.OverLimit:
		return "; check the quota and the billing of the API key's project"
	case errors.As(err, &f) && f.Kind == places.Transient:
		return "; check places.base_url and the network, or try again"
	case by.Network != nil && by.Network.Budget.Spent >= by.Network.Budget.Limit:
		return "; raise places.daily_budget or wait for the next day (UTC)"
	}
	return ""
}
