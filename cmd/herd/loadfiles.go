package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"

	"serverherd/cmd/herd/load"
)

// loadFile is a file that load writes.
type loadFile struct {
	name  string
	file  *os.File // nil: standard output
	write func(w io.Writer, r *load.Report) error
}

// openFiles creates the files of --json, --csv and --hdr. It runs before the load, so that a wrong path
// fails at once.
func (f *loadFlags) openFiles() (all []loadFile, err error) {
	for _, file := range []loadFile{
		{f.json, nil, writeJSON}, {f.csv, nil, writeSeconds},
		{f.hdr, nil, func(w io.Writer, r *load.Report) error { return r.WriteHDR(w) }},
	} {
		if file.name == "" {
			continue
		}
		if file.name != "-" {
			if file.file, err = os.Create(file.name); err != nil {
				return nil, err
			}
		}
		all = append(all, file)
	}
	return all, nil
}

// writeFiles writes all files, even if one fails, and returns the first error.
func writeFiles(all []loadFile, r *load.Report, out io.Writer) (first error) {
	for _, f := range all {
		if f.file == nil {
			first = cmp.Or(first, f.write(out, r))
			continue
		}
		if err := errors.Join(f.write(f.file, r), f.file.Close()); err != nil && first == nil {
			first = fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return first
}

func writeJSON(w io.Writer, r *load.Report) error {
	return printJSON(w, r)
}

func writeSeconds(w io.Writer, r *load.Report) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"second", "replies_per_second", "errors", "p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms"})
	for _, s := range r.Seconds {
		row := []string{fmt.Sprintf("%.3f", s.At.Seconds()),
			fmt.Sprintf("%.1f", float64(s.Counts.Replies)/s.Length.Seconds()), fmt.Sprint(s.Counts.Errors)}
		for _, v := range []float64{s.Latency.P50, s.Latency.P90, s.Latency.P99, s.Latency.P999, s.Latency.Max} {
			row = append(row, fmt.Sprintf("%.3f", v*1e3))
		}
		_ = c.Write(row)
	}
	c.Flush()
	return c.Error()
}
