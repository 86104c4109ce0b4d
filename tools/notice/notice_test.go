package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"
)

func TestLicensesOfModules(t *testing.T) {
	c, err := assets.DefaultClassifier()
	if err != nil {
		t.Fatal(err)
	}
	mit, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := (&module{Path: "a.example/none", Dir: dir}).read(c, nil); err == nil ||
		!strings.Contains(err.Error(), "a.example/none: no license") {
		t.Errorf("without a license: %v", err)
	}
	for _, name := range []string{"LICENSE", "README.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), mit, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := &module{Path: "a.example/mit", Version: "v1.2.3", Dir: dir, programs: []string{"herd"}}
	texts, err := m.read(c, []string{"another\n", tidy(string(mit))})
	if err != nil || len(texts) != 2 || !slices.Equal(m.spdx, []string{"MIT"}) || !slices.Equal(m.texts, []int{1}) {
		t.Errorf("MIT, whose text is known: %v, %d texts, %+v", err, len(texts), m)
	}
	if text := string(write([]*module{m}, texts)); !strings.Contains(text, "a.example/mit v1.2.3\n    MIT, in herd\n    Copyright (c) 2026 ") ||
		strings.Count(text, "Permission is hereby granted") != 1 {
		t.Errorf("written:\n%s", text)
	}
	was := allowed
	defer func() { allowed = was }()
	allowed = []string{"ISC"}
	if _, err := (&module{Path: "a.example/mit", Dir: dir}).read(c, nil); err == nil || !strings.Contains(err.Error(), "has the license MIT") {
		t.Errorf("with a license that is not allowed: %v", err)
	}
}
