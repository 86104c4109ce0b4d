package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// Each command that asks a console for a client sends the bytes of its id, whatever they are.
func TestIDsInRequests(t *testing.T) {
	t.Parallel()
	got := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case got <- fmt.Sprintf("%q", r.URL.Query()["id"]):
		default:
		}
		http.Error(w, "{}", http.StatusBadRequest)
	}))
	defer s.Close()
	file := filepath.Join(t.TempDir(), "herd.toml")
	text := fmt.Sprintf("[[server]]\nname = \"Alford\"\naddress = \"127.0.0.1:1\"\nconsole = %q\nneighbors = []\n", s.Listener.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"client", "trace", "watch"} {
		for _, id := range hostileIDs {
			if strings.Contains(id, "\x00") {
				continue // no argument can have it
			}
			ctx, cancel := context.WithCancel(t.Context())
			c := exec.CommandContext(ctx, processtest.Binary, command, "--config", file, id)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if sent, want := <-got, fmt.Sprintf("%q", []string{id}); sent != want {
				t.Errorf("%s %.50q: the console was asked for %.200s", command, id, sent)
			}
			cancel()
			_ = c.Wait()
			for len(got) > 0 {
				<-got
			}
		}
	}
}
