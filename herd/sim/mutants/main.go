// Command mutants checks that tests detect bugs: it applies the mutants in testdata/mutants one at a time, and runs seeds of
// the simulation, or the test named in the file, until one fails.
//
//	go run ./herd/sim/mutants [-seeds 1000] [NAME...]
//
// The source tree is not changed: the mutated files are passed as a build overlay. The exit code is 1 if a mutant survives.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

func main() {
	seeds := flag.Int("seeds", 1000, "the number of seeds to run for each mutant")
	dir := flag.String("dir", "testdata/mutants", "the directory of the mutants")
	flag.Parse()
	survived, err := run(*dir, *seeds, flag.Args())
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	case survived > 0:
		fmt.Fprintf(os.Stderr, "mutants: %d survived\n", survived)
		os.Exit(1)
	}
}

// run tries all mutants, or those with the given names, and returns how many survived.
func run(dir string, seeds int, names []string) (survived int, err error) {
	all, err := readMutants(dir)
	if err != nil {
		return 0, err
	}
	scratch, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	fmt.Println("| mutant | caught by | at seed | simulated | seconds |\n|---|---|---|---|---|")
	for _, m := range all {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		caught, err := try(m, scratch, seeds)
		if err != nil {
			return survived, fmt.Errorf("%s: %w", m.name, err)
		}
		if !caught {
			survived++
		}
	}
	return survived, nil
}

// failure matches the beginning of a sim.Failure.
var failure = regexp.MustCompile(`seed (\d+) at (\S+): ([a-z ]+): `)

// try builds the simulation with one mutant and runs it.
func try(m mutant, scratch string, seeds int) (caught bool, err error) {
	overlay, err := m.overlay(scratch)
	if err != nil {
		return false, err
	}
	list := filepath.Join(scratch, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return false, err
	}
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return false, err
	}
	args := []string{"test", "-overlay", list, "-count=1", "-timeout=10m", m.pkg, "-run=^" + m.test + "$"}
	if m.pkg == simulation {
		args = append(args, "-once", "-failures=1", fmt.Sprint("-seeds=", seeds))
	}
	begun := time.Now()
	out, err := exec.Command("go", args...).CombinedOutput()
	took := time.Since(begun).Seconds()
	found := failure.FindSubmatch(out)
	switch {
	case err != nil && m.pkg != simulation && (bytes.Contains(out, []byte("--- FAIL: "+m.test)) || bytes.Contains(out, []byte("\npanic: ")) ||
		bytes.HasPrefix(out, []byte("panic: "))):
		fmt.Printf("| %s | %s | | | %.0f |\n", m.name, m.test, took)
		return true, nil
	case err == nil:
		fmt.Printf("| %s | **survived** | | | %.0f |\n", m.name, took)
		return false, nil
	case found == nil:
		return false, fmt.Errorf("the seeds were not run:\n%s", out)
	}
	fmt.Printf("| %s | %s | %s | %s | %.0f |\n", m.name, found[3], found[1], found[2], took)
	return true, nil
}
