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

	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/protocol"
)

// lookup is the places command's question and to whom it goes.
type lookup struct {
	*options
	query    places.Query
	provider string        // in place of herd.toml's
	path     string        // likewise
	columns  string        // likewise, as parseColumns has it
	lenient  bool          // likewise, if it was given
	given    bool          // there was a --lenient
	within   time.Duration // 0: what herd.toml says
	json     bool
}

func newPlaces(o *options) *cobra.Command {
	l := &lookup{options: o}
	c := &cobra.Command{
		Use:   "places LAT,LNG [KM=10]",
		Short: "Ask the configured places provider directly",
		Long: "Ask the places provider of herd.toml, or another, what is within KM kilometers\n" +
			"(0 to 50) of a position, LAT,LNG or ISO 6709: to see whether its key is good,\n" +
			"or what a file of places holds. A lookup that costs money counts in the daily\n" +
			"budget, and nobody else answers when it fails.\n\n" +
			"A file of places is CSV (.csv, .tsv, .txt) whose first line names its columns,\n" +
			"or JSON objects (.json, .ndjson, .jsonl), one a line or in an array; with .gz\n" +
			"behind it, too. It has name, lat and lng, and perhaps types and vicinity.\n" +
			"latitude, longitude, lon, long, x and y are known, and so are the names of\n" +
			"GTFS' stops.txt and of OurAirports; --columns says what others are called.\n" +
			"Further columns are passed over. --columns, --lenient and --path stand in place\n" +
			"of columns, lenient and path in herd.toml, where they are written so:\n\n" +
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
			l.given = c.Flags().Changed("lenient")
			return l.run(c.OutOrStdout())
		},
	}
	textFlag(c.Flags(), &o.at, "at", "", "a server's name", "`name` of the server whose budget pays (default the first)")
	complete(c, "at", o.completeServers)
	choiceFlag(c, &l.provider, "provider", "", config.Providers,
		"`provider` to ask (default herd.toml's): "+strings.Join(config.Providers, ", "))
	textFlag(c.Flags(), &l.path, "path", "", "a file", "`file` of places to ask, for provider file")
	complete(c, "path", cobra.FixedCompletions(append([]string{"gz"}, places.FileSuffixes...),
		cobra.ShellCompDirectiveFilterFileExt))
	reasonedFlag(c.Flags(), &l.columns, "columns", "names as "+columnsForm,
		"what the file calls its `columns`, as "+columnsForm, func(text string) error {
			_, err := parseColumns(text)
			return err
		})
	c.Flags().BoolVar(&l.lenient, "lenient", false, "pass over places without a name or a position, and count them")
	durationFlag(c.Flags(), &l.within, "timeout", 0, time.Millisecond, time.Hour,
		"how long a lookup may take (default places.timeout of herd.toml, 5s if it has none)")
	c.Flags().BoolVar(&l.json, "json", false, "print the Nearby Search object")
	return c
}

func (l *lookup) run(out io.Writer) error {
	cfg, err := l.load()
	if err != nil {
		return err
	}
	if l.within > 0 {
		cfg.Places.Timeout = l.within
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
	said := report(&cfg.Places, provider)
	if err != nil {
		return fmt.Errorf("places, by %s: %w%s", cfg.Places.Provider, err, advice(err, said))
	}
	if l.json {
		_, err := fmt.Fprintf(out, "%s\n", places.AppendJSON(nil, r, protocol.MaxBound))
		return err
	}
	return printPlaces(out, l.query, r, said)
}

// choose puts what the command line says in place of what herd.toml says. There is no fallback:
// whoever asks wants to know how this provider does.
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
	if l.given {
		c.Lenient = l.lenient
	}
	for _, flag := range []struct {
		name  string
		given bool
	}{{"path", l.path != ""}, {"columns", l.columns != ""}, {"lenient", l.given}} {
		if flag.given && c.Provider != "file" {
			return usage("--%s goes with provider file, and not with %s", flag.name, c.Provider)
		}
	}
	switch {
	case c.Provider == "file" && c.Path == "":
		return usage("provider file needs --path FILE, whose name ends in .%s",
			strings.Join(places.FileSuffixes, ", ."))
	}
	return nil
}

// columnsForm is the form of --columns.
const columnsForm = "name=site,lat=site_lat,lng=site_lon"

// parseColumns reads --columns: pairs between commas. A pair with a comma in it is put in quotes, as in
// CSV.
func parseColumns(text string) (map[string]string, error) {
	pairs, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, errors.New("it is not pairs between commas, in quotes where one has a comma")
	}
	all := map[string]string{}
	for _, pair := range pairs {
		column, name, ok := strings.Cut(pair, "=")
		column = strings.TrimSpace(column)
		switch _, again := all[column]; {
		case !ok:
			return nil, fmt.Errorf("%s has no =", shown(pair))
		case again:
			return nil, fmt.Errorf("%s stands there twice", shown(column))
		}
		all[column] = name
	}
	return all, places.CheckColumns(all)
}

// parseQuery reads a position and kilometers.
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

// Columns of a terminal that a name, a kind and a line below the table may take.
const (
	widestName = 60
	widestKind = 30
	widestLine = 500
)

// printPlaces prints a line for each result, in the provider's order, and below them how many there
// are and where they come from. The unit in front of a name keeps a terminal from setting the whole
// line from right to left where the name is.
func printPlaces(out io.Writer, q places.Query, r places.Result, by *places.Report) error {
	var text bytes.Buffer
	var rows [][]string
	for _, raw := range r.Results {
		s, _ := places.Summarize(raw) // of what a provider got wrong the rest is shown
		far := "-"
		if s.Located {
			far = distance(places.Distance(q.Lat, q.Lng, s.Lat, s.Lng))
		}
		rows = append(rows, []string{far, cell(s.Name, widestName), cell(s.Type, widestKind)})
	}
	columns := []column{{head: "DISTANCE", right: true}, {head: "NAME"}, {head: "KIND"}}
	if len(rows) > 0 {
		writeColumns(&text, columns, rows)
		text.WriteByte('\n')
	}
	fmt.Fprintf(&text, "%s within %v km of %v,%v, by %s\n", counted(len(rows)),
		float64(q.RadiusM)/1000, q.Lat, q.Lng, cell(source(by), widestLine))
	for _, credit := range attributions(r) {
		fmt.Fprintln(&text, cell(fromHTML(credit), widestLine))
	}
	_, err := text.WriteTo(out)
	return err
}

// counted is how many places there are, in words.
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

// distance is metres below a kilometre, then kilometres.
func distance(metres float64) string {
	if metres < 999.5 {
		return fmt.Sprintf("%.0f m", metres)
	}
	return fmt.Sprintf("%.1f km", metres/1000)
}

// source is who answered, and from what.
func source(by *places.Report) string {
	switch {
	case by.File != nil:
		text := fmt.Sprintf("provider %s, %d in all in %s", by.Provider, by.File.Places, by.File.Path)
		if n := by.File.Skipped; n > 0 {
			text += fmt.Sprintf(", %d without a name or a position passed over", n)
		}
		return text
	case by.Network != nil:
		b := by.Network.Budget
		return fmt.Sprintf("provider %s, %d of %d lookups spent today (UTC)",
			by.Provider, b.Spent, b.Limit)
	}
	return "provider " + by.Provider
}

// attributions are the lines that an answer wants to be shown with it.
func attributions(r places.Result) (lines []string) {
	for _, fields := range [][]places.Field{r.Before, r.After} {
		for _, f := range fields {
			if f.Name == "html_attributions" {
				_ = json.Unmarshal(f.Value, &lines) // strings; what else there is has no meaning
			}
		}
	}
	return lines
}

// advice is what to do about a failed lookup, to stand behind its error.
func advice(err error, by *places.Report) string {
	var f *places.Failure
	switch {
	case errors.As(err, &f) && f.Kind == places.Denied && by.Provider == "google-legacy":
		return "; check the key, and that its project has the Places API, " +
			"which no new project can enable: try --provider google"
	case errors.As(err, &f) && f.Kind == places.Denied:
		return "; check the key, and that its project has the Places API (New)"
	case errors.As(err, &f) && f.Kind == places.OverLimit:
		return "; check the quota of the key's project, and that its billing is on"
	case errors.As(err, &f) && f.Kind == places.Transient:
		return "; check places.base_url and the network, or try again"
	case by.Network != nil && by.Network.Budget.Spent >= by.Network.Budget.Limit:
		return "; raise places.daily_budget, or wait for the next day (UTC)"
	}
	return ""
}
