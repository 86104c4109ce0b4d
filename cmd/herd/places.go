package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"serverherd/places"
	"serverherd/protocol"
)

func newPlaces(o *options) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "places LAT,LNG [KM=10]",
		Short:   "Ask the configured places provider directly",
		Example: "  herd places 34.06893,-118.445127 10\n  herd places -33.8568,151.2153 --json",
		Args:    arguments(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			q, err := parseQuery(args)
			if err != nil {
				return usage("%v; usage: %s", err, c.UseLine())
			}
			cfg, err := o.load()
			if err != nil {
				return err
			}
			server := cfg.Servers[0]
			if o.at != "" {
				if server, err = find(cfg, o.at); err != nil {
					return err
				}
			}
			provider, err := newProvider(&cfg.Places, server.Name, nil)
			if err != nil {
				return err
			}
			r, err := provider.Nearby(context.Background(), q)
			if err != nil {
				return fmt.Errorf("places: %w", err)
			}
			if asJSON {
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", places.AppendJSON(nil, r, protocol.MaxBound))
				return err
			}
			return printPlaces(c, q, r)
		},
	}
	c.Flags().StringVar(&o.at, "at", "", "`name` of the server whose budget pays (default the first)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the Nearby Search object")
	return c
}

// parseQuery reads LAT,LNG [KM].
func parseQuery(args []string) (q places.Query, err error) {
	lat, lng, ok := strings.Cut(args[0], ",")
	var err1, err2 error
	q.Lat, err1 = strconv.ParseFloat(lat, 64)
	q.Lng, err2 = strconv.ParseFloat(lng, 64)
	if !ok || errors.Join(err1, err2) != nil || !(q.Lat >= -90 && q.Lat <= 90 && q.Lng >= -180 && q.Lng <= 180) {
		return q, fmt.Errorf("%q is not LAT,LNG in degrees", args[0])
	}
	km := 10.0
	if len(args) > 1 {
		km, err = strconv.ParseFloat(args[1], 64)
		if err != nil || !(km >= 0 && km <= protocol.MaxRadiusKM) {
			return q, fmt.Errorf("%q is not a number of kilometres from 0 to %d", args[1], protocol.MaxRadiusKM)
		}
	}
	q.RadiusM = int(km * 1000)
	return q, nil
}

// printPlaces prints a line for each result.
func printPlaces(c *cobra.Command, q places.Query, r places.Result) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KM\tNAME\tKIND")
	for _, raw := range r.Results {
		s, err := places.Summarize(raw)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%.1f\t%s\t%s\n", places.Distance(q.Lat, q.Lng, s.Lat, s.Lng)/1000,
			protocol.Printable([]byte(s.Name)), protocol.Printable([]byte(s.Type)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s, %d places\n", r.Status, len(r.Results))
	return err
}
