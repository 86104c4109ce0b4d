package top

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func init() { time.Local = time.UTC }

var ring = map[string][]string{
	"Alford": {"Hamilton", "Welsh"}, "Ball": {"Holiday", "Welsh"}, "Hamilton": {"Alford", "Holiday"},
	"Holiday": {"Ball", "Hamilton"}, "Welsh": {"Alford", "Ball"},
}

var names = []string{"Alford", "Ball", "Hamilton", "Holiday", "Welsh"}

// status is a server after so many seconds, with clients that send 800 lines and 400 updates a second to each.
func status(name string, seconds int) *herd.Status {
	n := uint64(seconds)
	s := &herd.Status{
		Herd: "ucla", Server: name, Address: "127.0.0.1:11500", Version: "v1", Engine: view.DefaultEngine, Epoch: "1963655b94d6293d", PID: 7848,
		Started: noon.Add(-time.Hour), Now: noon.Add(time.Duration(seconds) * time.Second), Ready: true,
		Records: 1000, Digest: "be6e3088cee05488", Tail: 43388, Connections: 16,
		Counters: herd.Counters{LinesReceived: 800 * n, Replies: 800 * n, IAMAT: 400 * n, WHATSAT: 40 * n, Stored: 400 * n, Applied: 1600 * n},
		Process:  herd.ProcessStatus{CPU: 0.12 * float64(n), Resident: 59 << 20, OpenFDs: 26},
		Propagation: herd.PropagationStatus{
			Count: 1600 * n, P50: 0.0001, P99: 0.0003, Max: 0.0023},
		Log: herd.LogStatus{File: "/srv/herd/logs/server-" + name + ".log", Written: 2 << 20 * n},
	}
	s.Loop.Lags[8], s.Loop.Turns, s.Loop.Slowest = 500*n, 2000*n, 0.0005
	s.Propagation.Delays.Counts[9] = 1600 * n
	s.Lookups.Answered.Counts[14] = 40 * n
	checked := s.Now.Add(-3 * time.Second)
	for _, to := range ring[name] {
		s.Links = append(s.Links, herd.LinkStatus{
			Neighbor: to, State: "live", Since: noon.Add(-time.Hour), Receiving: true, Agreement: "in sync", Checked: &checked,
			Clock:  &herd.ClockStatus{Ahead: 0.00001, Uncertainty: 0.00005},
			ATSent: 1200 * n, ATReceived: 1200 * n, Duplicates: 400 * n,
		})
	}
	return s
}

// model is a model of the ring. Its questions are not asked: tests feed it answers.
func model(t *testing.T) *Model {
	return New(t.Context(), Options{Herd: "ucla", Servers: names, Interval: time.Second,
		Ask: func(context.Context, int) ask.Status { t.Error("asked"); return ask.Status{} }})
}

// feed gives the model the answers of all servers after so many seconds. Change may be nil.
func feed(m *Model, seconds int, change func(all []ask.Status)) {
	var all []ask.Status
	for _, name := range names {
		all = append(all, ask.Status{Server: name, Status: status(name, seconds)})
	}
	if change != nil {
		change(all)
	}
	at := noon.Add(time.Duration(seconds) * time.Second)
	m.Update(Tick(at))
	for i, a := range all {
		m.Update(Answer{i, at, a})
	}
}

// press sends keys.
func press(m *Model, keys ...string) (cmd tea.Cmd) {
	for _, key := range keys {
		msg := tea.KeyPressMsg{Text: key, Code: []rune(key)[0]}
		switch key {
		case "enter":
			msg = tea.KeyPressMsg{Code: tea.KeyEnter}
		case "esc":
			msg = tea.KeyPressMsg{Code: tea.KeyEscape}
		case "up":
			msg = tea.KeyPressMsg{Code: tea.KeyUp}
		case "down":
			msg = tea.KeyPressMsg{Code: tea.KeyDown}
		case "backspace":
			msg = tea.KeyPressMsg{Code: tea.KeyBackspace}
		case "ctrl+c":
			msg = tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
		}
		_, cmd = m.Update(msg)
	}
	return cmd
}

func dead(s *ask.Status) { s.Status, s.Error = nil, "no answer at 127.0.0.1:11601" }

// trouble is a herd in which much is wrong.
func trouble(all []ask.Status) {
	dead(&all[1])
	since := noon.Add(-time.Minute)
	all[0].Status.Links[0].DivergedSince = &since
	all[0].Status.Links[0].Agreement = "diverged"
	all[2].Status.Digest, all[2].Status.Ready, all[2].Status.Waiting = "00", false, "waiting for the records of Alford"
	all[3].Status.Links[0].State, all[3].Status.Links[0].Error = "down", "dial tcp 127.0.0.1:11501: connect: connection refused"
	all[3].Status.Links[0].Receiving = false
	all[4].Status.Links[0].Clock = &herd.ClockStatus{Ahead: 3600, Uncertainty: 0.001, Wrong: true}
	all[4].Status.Counters.LogDropped = 12
}

// overTLS is a herd that changes over to TLS: Alford's link to Hamilton has none yet, and its certificate expires soon.
func overTLS(all []ask.Status) {
	for _, a := range all {
		for i := range a.Status.Links {
			a.Status.Links[i].TLS = true
		}
	}
	s := all[0].Status
	s.Links[0].TLS = false
	s.TLS = &herd.TLSStatus{Links: "optional", Clients: "optional", Console: "required", Expires: noon.Add(24 * time.Hour)}
}

// hostile is a herd one of whose consoles is an attacker's.
func hostile(all []ask.Status) {
	const evil = "\x1b]0;title\x07\x1b[2J\r\n\t\u202e\u200b\xff\x9b"
	s := all[1].Status
	s.Address, s.Version, s.Epoch, s.Digest, s.Waiting, s.Ready = evil, evil, evil, evil, evil, false
	s.Engine, s.Log.File, s.Log.Error, s.PID, s.Connections = evil, evil, evil, -1, -1
	s.Records, s.Tail, s.Counters.LinesReceived, s.Process.Resident = 1<<64-1, 1<<64-1, 1<<64-1, 1<<64-1
	s.Process.CPU, s.Loop.Slowest = -1e300, 1e300
	s.Started = time.Time{}
	s.Journal = &herd.JournalStatus{Error: evil, Behind: 1<<64 - 1}
	s.Bridge = &herd.BridgeStatus{State: evil, Error: evil, Behind: 1<<64 - 1, Published: 1<<64 - 1}
	s.Links = append(s.Links, herd.LinkStatus{Neighbor: evil, State: evil, Error: evil + strings.Repeat("x", 10000), Behind: 1<<64 - 1,
		Clock: &herd.ClockStatus{Ahead: -1e300, Uncertainty: -1}}, herd.LinkStatus{Neighbor: "Ball"}, herd.LinkStatus{}, s.Links[0])
	dead(&all[3])
	all[3].Error = evil
}

func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(all []ask.Status)
		keys   []string
	}{
		{"herd", nil, nil},
		{"herd-trouble", trouble, []string{"j"}},
		{"herd-sorted", trouble, []string{"s", "j", "j"}},
		{"herd-filter", nil, []string{"/", "h", "enter"}},
		{"links", nil, []string{"l"}},
		{"links-trouble", trouble, []string{"l", "/", "b", "a"}},
		{"server", nil, []string{"j", "enter"}},
		{"server-trouble", trouble, []string{"j", "j", "j", "enter"}},
		{"server-dead", trouble, []string{"j", "enter"}},
		{"links-tls", overTLS, []string{"l"}},
		{"server-tls", overTLS, []string{"enter"}},
		{"help", nil, []string{"?"}},
		{"hostile", hostile, nil},
		{"server-hostile", hostile, []string{"j", "enter"}},
	} {
		for _, size := range [][2]int{{80, 24}, {120, 40}, {60, 10}} {
			t.Run(fmt.Sprintf("%s-%dx%d", c.name, size[0], size[1]), func(t *testing.T) {
				m := model(t)
				m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
				for seconds := range 4 {
					change := c.change
					if seconds == 0 {
						change = nil // a server that dies was there before
					}
					feed(m, seconds, change)
				}
				press(m, c.keys...)
				golden(t, m.Frame())
			})
		}
	}
	t.Run("once", func(t *testing.T) {
		m := model(t)
		feed(m, 1, nil)
		feed(m, 2, trouble)
		golden(t, m.Whole(80))
	})
}

// golden compares a frame with its file.
func golden(t *testing.T, frame string) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(strings.TrimPrefix(t.Name(), "TestFrames/"), "/", "-")+".txt")
	var lines []string
	for line := range strings.SplitSeq(frame, "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	got := strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
	if *update && os.Getenv("CI") == "" {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", file, got, want)
	}
}

// A frame is exactly as large as the terminal, whatever its size, and whatever is in it. Nothing but colors is an
// escape sequence.
func TestSizes(t *testing.T) {
	for _, styles := range []style.Styles{{}, style.Always()} {
		for _, keys := range [][]string{nil, {"l"}, {"j", "enter"}, {"?"}, {"/", "x"}, {"l", "s", "s", "r"}} {
			m := model(t)
			m.o.Styles = styles
			feed(m, 1, hostile)
			feed(m, 2, hostile)
			feed(m, 3, trouble)
			feed(m, 4, hostile)
			press(m, keys...)
			for _, width := range []int{0, 1, 2, 10, 40, 59, 60, 73, 79, 80, 91, 92, 104, 120, 300} {
				for _, height := range []int{0, 1, 2, 3, 7, 8, 24, 100} {
					m.Update(tea.WindowSizeMsg{Width: width, Height: height})
					lines := strings.Split(m.Frame(), "\n")
					if len(lines) != max(height, 1) {
						t.Fatalf("%q at %dx%d: %d lines", keys, width, height, len(lines))
					}
					for _, line := range lines {
						plain := ansi.Strip(line)
						if view.Width(plain) > width || view.Escape(plain) != plain || strings.Contains(plain, "\t") {
							t.Fatalf("%q at %dx%d: %q", keys, width, height, line)
						}
						if !styles.Colored() && plain != line {
							t.Fatalf("%q has colors", line)
						}
					}
				}
			}
		}
	}
}

// A server that does not answer is red, and then it is back.
func TestDeadServer(t *testing.T) {
	m := model(t)
	state := func() cell { return m.herdRows()[1].cells[1] }
	for range 2 {
		if s, v := state(), headline(m); s.level != view.Unknown || s.text != "asking" || v.Level != view.Unknown || len(m.problemLines()) > 0 {
			t.Errorf("before the first answer: %+v, %+v", s, v)
		}
		m.Update(Tick(noon))
	}
	feed(m, 1, nil)
	if s := state(); s.level != view.Good {
		t.Errorf("alive: %+v", s)
	}
	feed(m, 3, func(all []ask.Status) { dead(&all[1]) })
	if s := state(); s.level != view.Bad || s.text != "no answer for 2s" {
		t.Errorf("dead: %+v", s)
	}
	if frame := m.Frame(); !strings.Contains(frame, "4 of 5 answered") || !strings.Contains(frame, "Ball: no answer at") {
		t.Error(frame)
	}
	feed(m, 4, nil)
	if s := state(); s.level != view.Good || m.servers[1].lines().known {
		t.Errorf("back: %+v, and a rate over the gap", s)
	}
}

// headline is the first line's text without the herd's name and the time.
func headline(m *Model) view.Text {
	v, more := m.verdict()
	v.Text += more
	return v
}

// The headline says first what is wrong, and "in sync" only if nothing is.
func TestHeadline(t *testing.T) {
	linkDown := func(all []ask.Status) {
		all[1].Status.Links[1].State, all[1].Status.Links[1].Error = "down", "neighbor was silent"
	}
	behind := func(all []ask.Status) { // Ball and Welsh lack records
		for i, s := range all {
			s.Status.Digest = fmt.Sprint(i)
			s.Status.Counters.Stored, s.Status.Counters.Applied = 0, 0
		}
		all[3].Status.Links[0].Behind, all[1].Status.Links[1].Behind = 17201, 53
	}
	for _, c := range []struct {
		name   string
		change func(all []ask.Status)
		level  view.Level
		want   string
	}{
		{"well", nil, view.Good, "in sync"},
		{"one hangs", func(all []ask.Status) { dead(&all[2]) }, view.Bad, "! Hamilton: no answer"},
		{"two hang", func(all []ask.Status) { dead(&all[2]); dead(&all[4]); all[4].Error = "another" }, view.Bad, "! Hamilton, Welsh: no answer"},
		{"one hangs, a link is down", func(all []ask.Status) { dead(&all[2]); linkDown(all) }, view.Bad, "! Hamilton: no answer (and 1 more)"},
		{"a link is down", linkDown, view.Bad, "! Ball: link to Welsh is down: neighbor was silent"},
		{"no server answers", func(all []ask.Status) {
			for i := range all {
				dead(&all[i])
			}
		}, view.Bad, "! no server answers; is the herd running?"},
		{"no consoles", func(all []ask.Status) {
			for i := range all {
				all[i] = ask.Status{Server: all[i].Server, NoConsole: true}
			}
		}, view.Bad, "! no server has a console in herd.toml"},
		{"the worst", behind, view.Notice, "Ball: catching up (1,000 behind)"},
	} {
		m := model(t)
		feed(m, 1, c.change)
		feed(m, 2, c.change)
		feed(m, 3, func(all []ask.Status) {
			if c.change != nil {
				c.change(all)
			}
			for _, a := range all { // feeds move: what differs is on its way
				if a.Status != nil {
					a.Status.Tail++
				}
			}
		})
		if v := headline(m); v.Level != c.level || v.Text != c.want {
			t.Errorf("%s: %+v, want %s", c.name, v, c.want)
		}
		if frame := m.Frame(); !strings.HasPrefix(frame, "herd ucla   "+c.want+" ") {
			t.Errorf("%s:\n%s", c.name, frame)
		}
		if c.name == "no server answers" && strings.Contains(m.Frame(), " 0 records") {
			t.Error(m.Frame())
		}
	}
}

// Nothing in the header moves when numbers or problems change, and the time stays.
func TestHeaderIsFixed(t *testing.T) {
	for _, width := range []int{50, 60, 80, 120} {
		var want []int
		for n := range uint64(20) {
			m := model(t)
			m.Update(tea.WindowSizeMsg{Width: width, Height: 24})
			for seconds := range 2 {
				feed(m, seconds, func(all []ask.Status) {
					all[0].Status.Records = 1 << (2 * n)
					all[0].Status.Counters.Stored = uint64(seconds) << n
					if n%3 == 0 {
						trouble(all)
					}
				})
			}
			lines := strings.Split(m.Frame(), "\n")
			got := []int{strings.Index(lines[0], " 12:00:01"), strings.Index(lines[1], " records"), strings.Index(lines[1], " updates/s")}
			if want == nil {
				want = got
			}
			// Indices in bytes: an ellipsis has two more than its column.
			if got[0] -= 2 * strings.Count(lines[0], "…"); !slices.Equal(got, want) || got[0] < 0 {
				t.Errorf("%d: %v, want %v\n%s\n%s", width, got, want, lines[0], lines[1])
			}
		}
	}
}

// The problems of a server are above its figures, and where lines are missing a mark says so.
func TestServerProblems(t *testing.T) {
	m := model(t)
	feed(m, 1, trouble)
	press(m, "j", "j", "j", "enter")
	m.Update(tea.WindowSizeMsg{Width: 60, Height: 12})
	lines := strings.Split(m.Frame(), "\n")
	if !strings.HasPrefix(lines[4], "  ! link to Ball is down") || !strings.Contains(lines[10], "more lines below") {
		t.Error(m.Frame())
	}
	press(m, "G")
	if frame := m.Frame(); strings.Contains(frame, "below") || !strings.Contains(frame, "← Hamilton") {
		t.Error(frame)
	}
}

// The footer has whole words on terminals of any width.
func TestFooter(t *testing.T) {
	for _, keys := range [][]string{nil, {"l"}, {"enter"}, {"?"}, {"/", "h", "o", "enter"}, {"/", "h"}} {
		m := model(t)
		feed(m, 1, nil)
		press(m, keys...)
		m.Update(tea.WindowSizeMsg{Width: 300, Height: 24})
		whole := m.footer()
		for width := 26; width < 100; width++ {
			m.width = width
			if foot := m.footer(); view.Width(foot) > width || !strings.HasPrefix(whole+"  ", foot+"  ") {
				t.Errorf("%d: %q of %q", width, foot, whole)
			}
		}
	}
}

// States are sorted by how bad they are and then by the number of records that lack, equal ones as in herd.toml. The
// selection stays with its server.
func TestSort(t *testing.T) {
	m := model(t)
	order := func() (all []string) {
		for _, r := range m.rows() {
			all = append(all, r.key)
		}
		return all
	}
	for seconds := range 3 {
		feed(m, seconds, func(all []ask.Status) {
			for i, s := range all { // Alford, Hamilton and Welsh lack records
				s.Status.Digest = fmt.Sprint(i)
				s.Status.Counters.Stored, s.Status.Counters.Applied = 0, 0
			}
			all[4].Status.Links[0].Behind, all[3].Status.Links[0].Behind, all[0].Status.Links[0].Behind = 9, 56, 100
			all[0].Status.Links[1].Behind = 8
			if seconds == 2 {
				dead(&all[3])
			}
		})
	}
	if a, b := (cell{text: "no answer for 10s", tinge: true, order: 3}), (cell{text: "no answer for 3s", tinge: true, order: 3}); compare(a, b) != 0 {
		t.Error("states that are equally bad are sorted by their text")
	}
	if head := m.headLine(); !strings.Contains(head, "SERVER↓") {
		t.Errorf("no mark in %q", head)
	}
	press(m, "s")
	if got := order(); !slices.Equal(got, []string{"Holiday", "Hamilton", "Alford", "Welsh", "Ball"}) {
		t.Error(got)
	}
	if t1 := m.tables[herdScreen]; t1.selected != "Alford" {
		t.Errorf("%q is selected", t1.selected)
	}
	press(m, "enter")
	if m.server != "Alford" {
		t.Errorf("Enter showed %q", m.server)
	}
	press(m, "esc", "r")
	feed(m, 4, nil)
	if t1 := m.tables[herdScreen]; t1.selected != "Alford" || !strings.Contains(m.headLine(), "STATE↑") {
		t.Errorf("%q is selected, %q", t1.selected, m.headLine())
	}
}

// A server that lacks what a second brings is not catching up.
func TestUnderWay(t *testing.T) {
	m := model(t)
	for _, c := range []struct {
		behind uint64
		want   string
		level  view.Level
	}{{2000, "updates under way", view.Good}, {2001, "catching up (2,001 behind)", view.Notice}} {
		for seconds := range 2 {
			feed(m, seconds, func(all []ask.Status) {
				all[1].Status.Digest, all[3].Status.Records = "00", 5000
				all[3].Status.Tail += 2000 * uint64(seconds)
				all[3].Status.Links[0].Behind = c.behind
			})
		}
		if s := m.herdRows()[1].cells[1]; s.text != c.want || s.level != c.level {
			t.Errorf("%+v, want %s", s, c.want)
		}
	}
}

// A state does not alternate between answers under steady load, and calms down after it.
func TestCalm(t *testing.T) {
	m := model(t)
	for seconds := range 20 {
		feed(m, seconds, func(all []ask.Status) {
			for _, a := range all {
				a.Status.Tail += 2000 * uint64(seconds)
			}
			if seconds < 10 && seconds%2 == 1 {
				all[1].Status.Digest = "00"
				all[3].Status.Links[0].Behind = uint64(50 + seconds)
			}
		})
		want := "in sync"
		if 1 <= seconds && seconds < 15 { // the last answers before those of second 10 differ, too
			want = "updates under way"
		}
		if s, v := m.herdRows()[1].cells[1], headline(m); s.text != want || s.level != view.Good || seconds > 0 && v.Text != "in sync" && v.Text != want {
			t.Errorf("after %d s: %+v, %+v, want %s", seconds, s, v, want)
		}
	}
}

// A link's receiver that has the same records is not behind, and bounds look like bounds.
func TestBehindAndBounds(t *testing.T) {
	m := model(t)
	for seconds := range 2 {
		feed(m, seconds, func(all []ask.Status) { all[3].Status.Links[0].Behind = 150 }) // Holiday to Ball
	}
	if frame := m.Frame(); !strings.Contains(frame, "<256 us") {
		t.Errorf("no bound in\n%s", frame)
	}
	for _, keys := range [][]string{{"j", "enter"}, {"l"}} {
		if press(m, keys...); strings.Contains(m.Frame(), " 150 ") {
			t.Errorf("behind, with the same records:\n%s", m.Frame())
		}
	}
}

// A restart is seen for some seconds, though the server answers and has all records.
func TestRestart(t *testing.T) {
	m := model(t)
	for seconds := range 20 {
		feed(m, seconds, func(all []ask.Status) {
			if seconds >= 5 {
				all[1].Status.Epoch, all[1].Status.Started = "2", noon.Add(3*time.Second)
			}
		})
		want := "in sync"
		if seconds >= 5 && seconds < 13 {
			want = fmt.Sprintf("restarted %ds ago", seconds-3)
		}
		if s := m.herdRows()[1].cells[1]; s.text != want {
			t.Errorf("after %d s: %+v, want %s", seconds, s, want)
		}
		if want != "in sync" && headline(m).Text != "Ball: "+want {
			t.Error(headline(m))
		}
	}
}

// Rates are between two answers of one process, in its own time.
func TestRates(t *testing.T) {
	at := func(seconds int, change func(s *herd.Status)) *herd.Status {
		s := status("Ball", seconds)
		if change != nil {
			change(s)
		}
		return s
	}
	for _, c := range []struct {
		name string
		all  []*herd.Status
		want value
	}{
		{"nothing", nil, value{}},
		{"one", []*herd.Status{at(1, nil)}, value{}},
		{"two", []*herd.Status{at(1, nil), at(2, nil)}, value{800, true}},
		{"a gap", []*herd.Status{at(1, nil), at(5, nil)}, value{800, true}},
		{"no answer between", []*herd.Status{at(1, nil), nil, at(5, nil)}, value{}},
		{"a restart", []*herd.Status{at(1, nil), at(2, func(s *herd.Status) { s.Epoch = "2" })}, value{}},
		{"the clock was set back", []*herd.Status{at(2, nil), at(1, nil)}, value{}},
		{"the same answer again", []*herd.Status{at(1, nil), at(1, nil)}, value{}},
		{"a counter that falls", []*herd.Status{at(1, nil), at(2, func(s *herd.Status) { s.Counters.LinesReceived = 0 })}, value{-800, false}},
	} {
		s := &server{name: "Ball"}
		for _, status := range c.all {
			s.add(ask.Status{Status: status}, noon)
		}
		if got := s.lines(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	// Percentiles are of the window, not of all time.
	s := &server{}
	for i := range 3 * window {
		s.add(ask.Status{Status: at(i, func(s *herd.Status) {
			s.Loop.Lags[20] = 1000 // long ago
			if i > 2*window {
				s.Loop.Lags[20] = 1001
			}
		})}, noon)
	}
	if got := s.lag(); len(s.samples) != window || !got.known || got.n != 256e-6 {
		t.Errorf("%d samples, p99 %+v", len(s.samples), got)
	}
}

// A server that has not answered is not asked again meanwhile.
func TestAsk(t *testing.T) {
	asked := map[int]int{}
	m := New(t.Context(), Options{Servers: names, Interval: time.Hour, Ask: func(_ context.Context, i int) ask.Status {
		asked[i]++
		return ask.Status{Server: names[i], Status: status(names[i], 1)}
	}})
	if _, ok := m.Init()().(Tick); !ok {
		t.Error("no tick at the start")
	}
	first := m.askAll()
	if len(first) != 5 || len(m.askAll()) != 0 {
		t.Errorf("%d questions, and then more", len(first))
	}
	m.Update(first[2]())
	if again := m.askAll(); len(again) != 1 || asked[2] != 1 || m.servers[2].last() == nil {
		t.Errorf("%d questions, %v", len(again), asked)
	}
}

func TestKeys(t *testing.T) {
	m := model(t)
	feed(m, 1, nil)
	feed(m, 2, func(all []ask.Status) { all[3].Status.Counters.LinesReceived += 10 })
	selected := func() string { return m.tables[m.screen].selected }
	for _, c := range []struct {
		keys []string
		want string // screen, selected row
	}{
		{nil, "0 Alford"},
		{[]string{"j"}, "0 Ball"},
		{[]string{"G"}, "0 Welsh"},
		{[]string{"down"}, "0 Welsh"},
		{[]string{"up"}, "0 Holiday"},
		{[]string{"g", "k"}, "0 Alford"},
		{[]string{"j", "l"}, "1 Alford Hamilton"},
		{[]string{"j", "j", "j"}, "1 Ball Welsh"},
		{[]string{"enter"}, "2 "}, // Ball
		{[]string{"j", "k", "/"}, "2 "},
		{[]string{"esc"}, "1 Ball Welsh"},
		{[]string{"/", "q", "backspace", "h", "o", "enter", "j"}, "1 Hamilton Holiday"},
		{[]string{"G"}, "1 Holiday Hamilton"},
		{[]string{"esc"}, "1 Holiday Hamilton"},
		{[]string{"esc"}, "0 Ball"},
		{[]string{"s", "s", "s", "s", "g"}, "0 Holiday"}, // LINES/S
		{[]string{"r", "g"}, "0 Welsh"},
		{[]string{"S", "S", "S", "S", "g"}, "0 Alford"},
		{[]string{"r", "g"}, "0 Welsh"},
		{[]string{"/", "x", "j"}, "0 Welsh"},
		{[]string{"enter", "enter"}, "0 Welsh"}, // no row
		{[]string{"esc", "?", "j"}, "0 Welsh"},
	} {
		press(m, c.keys...)
		screen := fmt.Sprintf("%d ", m.screen)
		if m.screen != serverScreen {
			screen += selected()
		}
		if screen != c.want {
			t.Errorf("%q: %q, want %q", c.keys, screen, c.want)
		}
	}
	for _, keys := range [][]string{{"q"}, {"?", "q"}, {"/", "ctrl+c"}, {"esc", "enter", "q"}} {
		cmd := press(m, keys...)
		if cmd == nil {
			t.Errorf("%q does not quit", keys)
		} else if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%q: %T", keys, cmd())
		}
	}
	press(m, "esc", "esc", "/")
	m.Update(tea.PasteMsg{Content: "\x1b[2J"})
	m.Update(tea.PasteMsg{Content: strings.Repeat("x", 65)})
	m.Update(tea.PasteMsg{Content: "東京"})
	if press(m, "backspace"); m.filter != "東" {
		t.Errorf("filter %q", m.filter)
	}
}

// The help is wrapped, fits on a usual terminal, and scrolls on a small one.
func TestHelp(t *testing.T) {
	m := model(t)
	feed(m, 1, nil)
	press(m, "?")
	if frame := m.Frame(); strings.Contains(frame, "below") || !strings.Contains(frame, "q Ctrl-C: quit") {
		t.Errorf("the help does not fit:\n%s", frame)
	}
	m.Update(tea.WindowSizeMsg{Width: 40, Height: 10})
	seen := ""
	for range 100 {
		seen += m.Frame() + "\n"
		press(m, "j")
	}
	for _, h := range helpText {
		for word := range strings.FieldsSeq(h.text) {
			if !strings.Contains(seen, word) {
				t.Errorf("%q is never seen", word)
			}
		}
	}
	if press(m, "x"); m.help {
		t.Error("the help does not end")
	}
}

// Columns have the widths of the formats.
func TestFormats(t *testing.T) {
	numbers := []float64{0, 0.04, 1, 9.96, 99.9, 999.6, 12345, 99999.6, 123456, 999999, 1e6, 123456789, 1e9, 1.8e19}
	for name, f := range map[string]struct {
		format func(float64) string
		most   int
	}{"amount": {view.Number[float64], 7}, "perSecond": {view.Rate, 6}, "size": {size, 5}} {
		for _, n := range numbers {
			if text := f.format(n); len(text) > f.most {
				t.Errorf("%s of %g: %q", name, n, text)
			}
		}
	}
	if got := []string{view.Number[float64](1234567), view.Rate(0.5), view.Rate(123456), view.Rate(1e7), size(59 << 20), size(1.5 * (1 << 20))}; !slices.Equal(got,
		[]string{"1.23M", "0.5", "123k", "10.0M", "59M", "1.5M"}) {
		t.Error(got)
	}
}
