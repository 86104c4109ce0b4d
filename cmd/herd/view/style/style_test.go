package style

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"serverherd/cmd/herd/view"
)

func TestStyles(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if For(file).Colored() || For(&bytes.Buffer{}).Colored() {
		t.Error("a file has colors")
	}
	for _, s := range []Styles{{}, Always()} {
		for _, l := range []view.Level{view.Good, view.Unknown, view.Notice, view.Bad} {
			got := s.Level(l, "text")
			if inColor := strings.HasPrefix(got, "\x1b[") && strings.HasSuffix(got, "m"); inColor != s.Colored() || !strings.Contains(got, "text") {
				t.Errorf("%v %v: %q", s, l, got)
			}
		}
		if s.Bold("") != "" {
			t.Errorf("an empty text has colors")
		}
	}
	if a, b := Always().Level(view.Bad, "x"), Always().Level(view.Good, "x"); a == b {
		t.Errorf("%q is good and bad", a)
	}
}
