package browser

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"serverherd/cmd/herd/e2e/processtest"
)

// A server that hangs is red, and comes back.
func TestServerHangs(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Ball", "Welsh")
	p := open(t, url(h, "Alford"), 800, 700)
	p.has(3, ".box[data-level=good]")
	pid := h.Status("Ball").PID
	processtest.Suspend(t, pid)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	p.has(1, ".box[data-server=Ball][data-level=bad][data-state=down]")
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.has(3, ".box[data-state=ready][data-level=good]")
}

// A page that is left open over a restart of all servers says so, and is live again.
func TestAllServersRestart(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Ball", "Welsh")
	p := open(t, url(h, "Alford"), 800, 700, dropped...)
	p.has(3, ".box[data-level=good]")
	for _, name := range []string{"Alford", "Ball", "Welsh"} {
		h.Kill(name)
	}
	p.has(1, "html[data-connection=lost]")
	for _, name := range []string{"Alford", "Ball", "Welsh"} {
		h.Start(name)
	}
	p.until(`document.getElementById("news").textContent.startsWith("Alford was restarted. Connected again at")`)
	p.has(3, ".box[data-state=ready][data-level=good]")
	h.Ask("Ball", "IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n")
	p.until(`[...document.querySelectorAll("[data-value=records]")].every((e) => e.textContent === "1")`)
}

// Two hundred pages with the map are open; one more is as live as if it were alone.
func TestTwoHundredPages(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford", "Welsh")
	address := "ws://" + h.Server("Alford").Console + "/ws"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 200 {
		c, _, err := websocket.Dial(ctx, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		if err := c.Write(ctx, websocket.MessageText, []byte(`{"type":"dots","on":true}`)); err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				if _, _, err := c.Read(ctx); err != nil {
					return
				}
			}
		}()
	}
	p := open(t, url(h, "Alford")+"#view=map", 800, 700)
	p.has(1, ".map[data-done=true][data-clients='0']")
	h.Ask("Welsh", "IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n")
	p.has(1, ".map[data-clients='1']")
	h.Kill("Welsh")
	p.has(1, "#state[data-answered='1'][data-of='2']")
}

// Ten thousand clients connect, say where they are and leave, while a page looks: it has all of them.
func TestClientsComeAndGo(t *testing.T) {
	t.Parallel()
	const n, callers = 10_000, 16
	h := processtest.StartHerd(t, quiet, "Alford")
	p := open(t, url(h, "Alford")+"#view=map", 800, 700)
	p.has(1, ".map[data-done=true][data-clients='0']")
	var group sync.WaitGroup
	for k := range callers {
		group.Go(func() {
			for i := k; i < n; i += callers {
				c, err := net.Dial("tcp", h.Server("Alford").Address)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = fmt.Fprintf(c, "IAMAT visitor%d %+06.2f%+07.2f 1520023934.918963997\nquit\n", i, float64(i%170)-85, float64(i%360)-180)
				if _, last := io.Copy(io.Discard, c); err != nil || last != nil {
					t.Error(err, last)
				}
				c.Close()
			}
		})
	}
	group.Wait()
	p.has(1, fmt.Sprintf(".map[data-done=true][data-clients='%d']", n))
	p.until(`document.querySelector("[data-value=connections]").textContent === "0"`)
}
