package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/places/google"
	"serverherd/places/guard"
	"serverherd/protocol/bom"
)

// keyVariable is the environment variable with Google's API key.
const keyVariable = "GOOGLE_PLACES_API_KEY"

// newProvider creates the configured places provider. Lookups that cost money count in the budget of the
// given server.
func newProvider(c *config.Places, server string, log *zap.Logger) (places.Provider, error) {
	switch c.Provider {
	case "embedded":
		return newEmbedded(c)
	case "file":
		f, err := places.NewFile(c.Path, places.FileOptions{Columns: c.Columns, Lenient: c.Lenient})
		if err != nil {
			return nil, fmt.Errorf("places.path: %w", err)
		}
		return f, nil
	}
	key, err := readKey(c.KeyFile)
	if err != nil {
		return nil, err
	}
	o := guard.Options{Name: c.Provider, Timeout: c.Timeout, Rate: c.Rate, Log: log}
	g := google.Options{Key: key, BaseURL: c.BaseURL, Timeout: c.Timeout, Fields: c.Fields}
	if c.Provider == "google" {
		o.Provider, err = google.NewPlaces(g)
	} else {
		o.Provider, err = google.NewLegacy(g)
	}
	if err != nil {
		return nil, err
	}
	o.Budget, err = guard.OpenBudget(c.PlacesState, server, c.DailyBudget, c.BudgetShare, time.Now)
	if err != nil {
		return nil, err
	}
	if c.Fallback != "" {
		if o.Fallback, err = newEmbedded(c); err != nil {
			return nil, err
		}
	}
	return guard.New(o), nil
}

// report returns the status of a provider.
func report(c *config.Places, p places.Provider) *places.Report {
	r := &places.Report{Provider: c.Provider}
	switch p := p.(type) {
	case *guard.Guard:
		network := p.Report()
		r.Network = &network
	case *places.File:
		file := p.Report()
		r.File = &file
	}
	return r
}

func newEmbedded(c *config.Places) (places.Provider, error) {
	rank, err := places.ParseRank(c.Rank)
	if err != nil {
		return nil, err
	}
	return places.NewEmbedded(rank)
}

// readKey reads the API key from its file, or else from the environment.
func readKey(file string) (google.Key, error) {
	text, where := []byte(os.Getenv(keyVariable)), "$"+keyVariable
	if file != "" {
		where = "places.key_file: " + file
		var err error
		if text, err = config.ReadSecret(file); err != nil {
			return "", fmt.Errorf("places.key_file: %w", err)
		}
	}
	text, err := bom.Trim(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	return google.Key(strings.TrimSpace(string(text))), nil
}
