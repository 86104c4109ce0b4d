// Package vuln_test tests make vuln, with databases of its own.
package vuln_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// database writes a database in which a function of a module is vulnerable, and returns its URL.
func database(t *testing.T, module, function string) string {
	t.Helper()
	const id, now = "GO-2026-0000", "2026-01-01T00:00:00Z"
	dir := t.TempDir()
	for name, value := range map[string]any{
		"index/db.json": map[string]any{"modified": now},
		"index/modules.json": []any{map[string]any{
			"path": module, "vulns": []any{map[string]any{"id": id, "modified": now}},
		}},
		"ID/" + id + ".json": map[string]any{
			"schema_version": "1.3.1", "id": id, "modified": now, "published": now, "summary": "invented by a test",
			"affected": []any{map[string]any{
				"package": map[string]any{"name": module, "ecosystem": "Go"},
				"ranges":  []any{map[string]any{"type": "SEMVER", "events": []any{map[string]any{"introduced": "0"}}}},
				"ecosystem_specific": map[string]any{"imports": []any{map[string]any{
					"path": module, "symbols": []any{function},
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

func TestVuln(t *testing.T) {
	for _, c := range []struct {
		name, database string
		fails          bool
		says           string
	}{
		{"a function that we call", database(t, "github.com/cespare/xxhash/v2", "Sum64"), true, "GO-2026-0000"},
		{"one that nobody calls", database(t, "github.com/cespare/xxhash/v2", "None"), false, "No vulnerabilities found."},
		{"no database", "file://" + filepath.Join(t.TempDir(), "none"), true, "nothing was checked in ."},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("make", "vuln", "VULNDB="+c.database)
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.fails || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, without %q:\n%s", err, c.says, out)
			}
		})
	}
}
