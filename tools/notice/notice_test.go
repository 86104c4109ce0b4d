package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"
)

var isc = []byte(`ISC License

Copyright (c) 2013-2016 A. Nobody <nobody@a.example>

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`)

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
	inside := filepath.Join(dir, "internal", "copied")
	if err := errors.Join(os.MkdirAll(inside, 0o700), os.MkdirAll(filepath.Join(dir, "unused"), 0o700),
		os.WriteFile(filepath.Join(inside, "LICENSE.txt"), isc, 0o600),
		os.WriteFile(filepath.Join(dir, "unused", "LICENSE"), isc, 0o600)); err != nil {
		t.Fatal(err)
	}
	m = &module{Path: "a.example/both", Dir: dir, packages: []string{dir, filepath.Join(inside, "deep")}}
	if err := os.Mkdir(m.packages[1], 0o700); err != nil {
		t.Fatal(err)
	}
	if texts, err := m.read(c, nil); err != nil || len(texts) != 2 || !slices.Equal(m.spdx, []string{"ISC", "MIT"}) {
		t.Errorf("with a package that has a license of its own above it: %v, %d texts, %+v", err, len(texts), m)
	}
	m = &module{Path: "a.example/elsewhere", Dir: inside, packages: []string{dir}}
	if _, err := m.read(c, nil); err == nil || !strings.Contains(err.Error(), "not in "+inside) {
		t.Errorf("a package outside of its module: %v", err)
	}
	was := allowed
	defer func() { allowed = was }()
	allowed = []string{"ISC"}
	if _, err := (&module{Path: "a.example/mit", Dir: dir}).read(c, nil); err == nil || !strings.Contains(err.Error(), "has the license MIT") {
		t.Errorf("with a license that is not allowed: %v", err)
	}
}
