// Package vuln_test tests make vuln, with databases of its own.
package vuln_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// database writes a database in which a function of the standard library is vulnerable, and returns its URL.
func database(t *testing.T, pkg, function string) string {
	t.Helper()
	const id, now = "GO-2026-0000", "2026-01-01T00:00:00Z"
	dir := t.TempDir()
	for name, value := range map[string]any{
		"index/db.json": map[string]any{"modified": now},
		"index/modules.json": []any{map[string]any{
			"path": "stdlib", "vulns": []any{map[string]any{"id": id, "modified": now}},
		}},
		"ID/" + id + ".json": map[string]any{
			"schema_version": "1.3.1", "id": id, "modified": now, "published": now, "summary": "invented by a test",
			"database_specific": map[string]any{"url": "https://pkg.go.dev/vuln/" + id},
			"affected": []any{map[string]any{
				"package": map[string]any{"name": "stdlib", "ecosystem": "Go"},
				"ranges":  []any{map[string]any{"type": "SEMVER", "events": []any{map[string]any{"introduced": "0"}}}},
				"ecosystem_specific": map[string]any{"imports": []any{map[string]any{
					"path": pkg, "symbols": []any{function},
				}}},
			}},
		},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return "file://" + dir
}

// module writes a module that calls quoted-printable's NewReader, and returns its directory.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module a.example\n\ngo 1.26\n",
		"main.go": "package main\n\nimport \"mime/quotedprintable\"\n\n" +
			"func main() { quotedprintable.NewReader(nil) }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVuln(t *testing.T) {
	for _, c := range []struct {
		name, database string
		fails          bool
		says           string
	}{
		{"a function that is called", database(t, "mime/quotedprintable", "NewReader"), true, "Your code is affected by 1 vulnerability"},
		{"one that is not called", database(t, "mime/quotedprintable", "NewWriter"), false, "No vulnerabilities found."},
		{"no database", "file://" + filepath.Join(t.TempDir(), "none"), true, "nothing was checked in "},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("make", "vuln", "MODULES="+module(t), "VULNDB="+c.database)
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.fails || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, without %q:\n%s", err, c.says, out)
			}
			const unchecked = "nothing was checked"
			if strings.Contains(string(out), unchecked) != strings.HasPrefix(c.says, unchecked) {
				t.Errorf("whether anything was checked:\n%s", out)
			}
		})
	}
}

// make vuln looks at every module of the repository.
func TestModules(t *testing.T) {
	cmd := exec.Command("make", "--dry-run", "vuln")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`for dir in (.*?);`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no modules in\n%s", out)
	}
	looked := strings.Fields(string(m[1]))
	var all []string
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if err == nil && d.Name() == "go.mod" {
			dir, err := filepath.Rel("../..", filepath.Dir(path))
			all = append(all, dir)
			return err
		}
		return err
	})
	slices.Sort(looked)
	slices.Sort(all)
	if err != nil || !slices.Equal(looked, all) {
		t.Errorf("%v; make vuln looks at %q, there are %q", err, looked, all)
	}
}
