package top

import (
	"fmt"
	"strings"

	"serverherd/cmd/herd/view"
	"serverherd/herd"
)

// serverBody is one server in detail.
func (m *Model) serverBody() (lines []string) {
	s := m.find(m.server)
	st := m.o.Styles
	if s == nil {
		return nil
	}
	state := m.stateOf(s, m.herd())
	title := "  " + st.Bold(view.OneLine(s.name)) + "  " + st.Level(state.level, state.text)
	status := s.now.Status
	if status == nil {
		if s.now.Error != "" {
			lines = m.remark(view.Text{Level: state.level, Text: s.now.Error})
		}
		return append([]string{title, ""}, lines...)
	}
	text := func(v value, format func(float64) string) string { return number(v, format).text }
	rate := func(of func(*herd.Counters) uint64) string { return text(s.count(of), view.Rate) + "/s" }
	add := func(head, format string, args ...any) {
		const width = 13
		body := view.Wrap(view.OneLine(fmt.Sprintf(format, args...)), max(m.width-width-2, 10))
		for i, line := range body {
			if i > 0 {
				head = ""
			}
			lines = append(lines, "  "+st.Faint(fmt.Sprintf("%-*s", width, head))+line)
		}
	}
	lines = append(lines, title, "")
	for _, r := range view.Remarks(status) {
		lines = append(lines, m.remark(r)...)
	}
	if len(lines) > 2 {
		lines = append(lines, "")
	}
	add("process", "%s, up %s, version %s, pid %d", status.Address, view.Duration(status.Now.Sub(status.Started)),
		status.Version, status.PID)
	p := status.Process
	add("uses", "CPU %s, memory %s, %d files, %s buffered for clients", text(s.cpu(), view.Percent),
		text(value{float64(p.Resident), p.Resident > 0}, size), p.OpenFDs, size(float64(status.Buffered)))
	add("records", "%s, feed at %s, digest %s", view.Count(status.Records), view.Count(status.Tail), status.Digest)
	add("clients", "%s connected; %s lines, %s replies, %s errors", view.Count(view.Clients(status)), rate(func(c *herd.Counters) uint64 { return c.LinesReceived }),
		rate(func(c *herd.Counters) uint64 { return c.Replies }), rate(func(c *herd.Counters) uint64 { return c.Refused }))
	add("updates", "%s from clients, %s from neighbors", rate(func(c *herd.Counters) uint64 { return c.Stored }),
		rate(func(c *herd.Counters) uint64 { return c.Applied }))
	add("loop", "lag p99 %s, turns %s/s, slowest %s, %s slow", text(s.lag(), bound),
		text(s.rate(func(s *herd.Status) float64 { return float64(s.Loop.Turns) }), view.Rate), latency(status.Loop.Slowest), view.Count(status.Loop.SlowTurns))
	add("propagation", "p99 %s now; in all p50 %s, p99 %s, max %s", text(s.propagation(), bound), view.Latency(status.Propagation.P50, status.Propagation.Count > 0),
		view.Latency(status.Propagation.P99, status.Propagation.Count > 0), view.Latency(status.Propagation.Max, status.Propagation.Count > 0))
	l := status.Lookups
	add("lookups", "%d open, %d in flight, %d waiting; %s, %s failed, %s busy; p99 %s", l.Open, l.InFlight, l.Waiting,
		rate(func(c *herd.Counters) uint64 { return c.WHATSAT }), rate(func(c *herd.Counters) uint64 { return c.LookupsFailed }),
		rate(func(c *herd.Counters) uint64 { return c.LookupsBusy }), text(s.p99(func(s *herd.Status) [32]uint64 { return s.Lookups.Answered.Counts }), bound))
	if t := status.TLS; t != nil {
		add("tls", "%s", view.TLSText(t))
	}
	if j := status.Journal; j != nil {
		ok := map[bool]string{true: "ok", false: "not ok"}[j.OK]
		add("journal", "%s, %s behind, %s written, %d failures", ok, view.Plural(j.Behind, "record", "records"),
			text(s.rate(func(s *herd.Status) float64 {
				if s.Journal == nil {
					return 0
				}
				return float64(s.Journal.Records)
			}), view.Rate)+"/s", j.Failures)
	} else {
		add("journal", "none: records are in memory only")
	}
	if b := status.Bridge; b != nil {
		bridged := func(count func(*herd.BridgeStatus) uint64) string {
			return text(s.rate(func(s *herd.Status) float64 {
				if s.Bridge == nil {
					return 0
				}
				return float64(count(s.Bridge))
			}), view.Rate) + "/s"
		}
		add("bridge", "%s, %s behind, %s published, %s applied", b.State, view.Plural(b.Behind, "record", "records"),
			bridged(func(b *herd.BridgeStatus) uint64 { return b.Published }), bridged(func(b *herd.BridgeStatus) uint64 { return b.Applied }))
	}
	add("log", "%s, %s/s", status.Log.File, text(s.rate(func(s *herd.Status) float64 { return float64(s.Log.Written) }), size))
	lines = append(lines, "")
	lines = append(lines, m.serverLinks(s, status)...)
	return lines
}

// serverLinks is a table of the links of a server: to each neighbor, and from it.
func (m *Model) serverLinks(s *server, status *herd.Status) (lines []string) {
	st := m.o.Styles
	width := m.nameWidth()
	stateWidth := max(m.width-width-47, 8)
	head := fmt.Sprintf("  %-*s  %-*s %6s %5s %7s  %-16s", width+2, "LINK", stateWidth, "STATE", "AT/S", "DUP", "BEHIND", "CLOCK")
	lines = append(lines, st.Bold(strings.TrimRight(head, " ")))
	for i := range status.Links {
		l := &status.Links[i]
		name := view.Cut(view.OneLine(l.Neighbor), width)
		cells := m.linkCells(s, l)
		put := func(arrow string, state cell, at, dup, behind, clock string) {
			text := padded(state.text, column{width: stateWidth})
			link := padded(arrow+" "+name, column{width: width + 2})
			lines = append(lines, fmt.Sprintf("  %s  %s %6s %5s %7s  %s", link, st.Level(state.level, text), at, dup, behind, clock))
		}
		put("→", cells[0], cells[1].text, cells[2].text, cells[3].text, cells[5].text)
		received := s.linkCount(l.Neighbor, func(l *herd.LinkStatus) uint64 { return l.ATReceived })
		again := s.linkCount(l.Neighbor, func(l *herd.LinkStatus) uint64 { return l.Duplicates })
		dup := value{again.n / received.n, again.known && received.known && received.n > 0}
		state := cell{text: "receiving", level: view.Good}
		if !l.Receiving {
			state = cell{text: "no link", level: view.Bad}
			if l.State == herd.LinkLegacy {
				state = cell{text: "nothing received", level: view.Unknown}
			}
		}
		behind := "-"
		if other := m.find(l.Neighbor); other != nil {
			if back := other.link(s.name); back != nil {
				behind = view.Number[float64](float64(m.herd().Lag(other.now.Status, back)))
			}
		}
		put("←", state, number(received, view.Rate).text, number(dup, view.Percent).text, behind, "")
	}
	return lines
}
