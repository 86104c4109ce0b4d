package main

import (
	"os"
	"testing"
)

// Each mutant can be applied to the current source.
func TestMutantsApply(t *testing.T) {
	all, err := readMutants("../../../testdata/mutants")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("../../..")
	for _, m := range all {
		overlay, err := m.overlay(t.TempDir())
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		for file, broken := range overlay {
			before, _ := os.ReadFile(file)
			after, err := os.ReadFile(broken)
			if err != nil || string(before) == string(after) {
				t.Errorf("%s changes nothing in %s: %v", m.name, file, err)
			}
		}
	}
}

func TestMutantsAreCaughtBy(t *testing.T) {
	for _, c := range []struct{ comment, test, pkg string }{
		{"# a comment", "TestSeeds", "./herd/sim"},
		{"# caught by TestThis", "TestThis", "./herd"},
		{"# caught by TestThat in ./reactor", "TestThat", "./reactor"},
	} {
		m, err := parseMutant("some", c.comment+"\na.go\n-x\n+y")
		if err != nil || m.test != c.test || m.pkg != c.pkg {
			t.Errorf("%s: caught by %q in %q, %v", c.comment, m.test, m.pkg, err)
		}
	}
}

func TestInvalidMutants(t *testing.T) {
	for _, text := range []string{
		"", "# nothing", "a.go\n-x", "a.go\n+x", "-x\n+y", "a.go\n-x\n+y\nz", "a.go\n+y\n-x",
	} {
		if m, err := parseMutant("none", text); err == nil {
			t.Errorf("%q is parsed as %+v", text, m)
		}
	}
}
