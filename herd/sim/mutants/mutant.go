package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is a bug to be detected.
type mutant struct {
	name  string // of its file, without .txt
	test  string // that detects it
	pkg   string // of test, as an argument of go test
	edits []edit
}

// simulation is the package whose tests run seeds.
const simulation = "./herd/sim"

// edit replaces old, which must occur in file exactly once, by new.
type edit struct {
	file     string
	old, new []byte
}

// readMutants reads the mutants in a directory, sorted by name.
func readMutants(dir string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no mutants in %s", dir)
	}
	return all, nil
}

// parseMutant parses a file of testdata/mutants: comments with #, then a file name and edits of that file, each with
// lines with - and then lines with +. An empty line separates edits. The last line with - may be a prefix of a line. If no
// seed of TestSeeds detects the mutant, a comment names the test that does: "caught by TestName", of package herd, or
// "caught by TestName in ./reactor".
func parseMutant(name, text string) (mutant, error) {
	m := mutant{name: name, test: "TestSeeds", pkg: simulation}
	file := ""
	for _, block := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		var old, replacement []string
		for _, line := range strings.Split(block, "\n") {
			switch {
			case strings.HasPrefix(line, "# caught by "):
				var named bool
				m.test, m.pkg, named = strings.Cut(strings.TrimPrefix(line, "# caught by "), " in ")
				if !named {
					m.pkg = "./herd"
				}
			case strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "-") && replacement == nil:
				old = append(old, line[1:])
			case strings.HasPrefix(line, "+") && old != nil:
				replacement = append(replacement, line[1:])
			case old == nil && line != "":
				file = line
			default:
				return m, fmt.Errorf("unexpected line %q", line)
			}
		}
		if file == "" || old == nil || replacement == nil {
			return m, errors.New("an edit needs a file, lines with - and lines with +")
		}
		m.edits = append(m.edits, edit{file, []byte(strings.Join(old, "\n")), []byte(strings.Join(replacement, "\n"))})
	}
	return m, nil
}

// overlay writes the mutated files to dir and returns the replacements for go build -overlay.
func (m mutant) overlay(dir string) (map[string]string, error) {
	texts := map[string][]byte{}
	for _, e := range m.edits {
		text, known := texts[e.file]
		if !known {
			var err error
			if text, err = os.ReadFile(e.file); err != nil {
				return nil, err
			}
		}
		if n := bytes.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%q occurs in %s %d times, expected once", e.old, e.file, n)
		}
		texts[e.file] = bytes.Replace(text, e.old, e.new, 1)
	}
	replaced := map[string]string{}
	for file, text := range texts {
		broken := filepath.Join(dir, m.name+"-"+strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(broken, text, 0o600); err != nil {
			return nil, err
		}
		whole, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		replaced[whole] = broken
	}
	return replaced, nil
}
