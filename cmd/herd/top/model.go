// Package top is the screen of herd top: all servers of a herd, their links, and one server in detail. The model
// asks the consoles and keeps their latest answers; the views turn these into text. All strings of an answer are
// hostile: see view.Cell.
package top

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/style"
)

// Options configure a model.
type Options struct {
	Herd     string
	Servers  []string // in the order of herd.toml
	Ask      func(ctx context.Context, server int) ask.Status
	Interval time.Duration
	Styles   style.Styles
}

// screen is what is shown.
type screen int

const (
	herdScreen screen = iota
	linkScreen
	serverScreen
)

// Model is the state of the screen. It implements tea.Model.
type Model struct {
	o       Options
	ctx     context.Context
	now     time.Time
	servers []*server

	width, height int
	screen        screen
	back          screen // from the server's screen
	help          bool
	tables        [2]table // of herdScreen and linkScreen
	server        string   // that serverScreen shows
	scroll        int      // of serverScreen and the help

	filter    string
	filtering bool // keys go to the filter
}

// table is what the user has chosen for a table.
type table struct {
	selected string // the row's key
	sort     int    // column; 0: the order of herd.toml
	reverse  bool
}

// New returns a model. Its requests end with ctx.
func New(ctx context.Context, o Options) *Model {
	m := &Model{o: o, ctx: ctx, width: 80, height: 24}
	for _, name := range o.Servers {
		m.servers = append(m.servers, &server{name: name, now: ask.Status{Server: name}})
	}
	m.pin()
	return m
}

// Tick starts a round of requests.
type Tick time.Time

// Answer is the answer of one server.
type Answer struct {
	Server int
	At     time.Time
	Status ask.Status
}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return func() tea.Msg { return Tick(time.Now()) } }

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	defer m.pin()
	switch msg := msg.(type) {
	case Tick:
		m.now = time.Time(msg)
		next := tea.Tick(m.o.Interval, func(t time.Time) tea.Msg { return Tick(t) })
		return m, tea.Batch(append(m.askAll(), next)...)
	case Answer:
		m.servers[msg.Server].add(msg.Status, msg.At)
		m.now = msg.At
		m.observe()
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.key(msg)
	case tea.PasteMsg:
		if m.filtering {
			m.addToFilter(msg.Content)
		}
	}
	return m, nil
}

// pin selects the first row if the selected one is not there, so that the selection does not stay at a place in the
// table while the rows move.
func (m *Model) pin() {
	if m.screen == serverScreen {
		return
	}
	t, rows := &m.tables[m.screen], m.rows()
	if len(rows) > 0 && !slices.ContainsFunc(rows, func(r row) bool { return r.key == t.selected }) {
		t.selected = rows[0].key
	}
}

// askAll asks each server, unless it still has to answer.
func (m *Model) askAll() (all []tea.Cmd) {
	for i, s := range m.servers {
		if s.asked {
			continue
		}
		s.asked = true
		all = append(all, func() tea.Msg {
			status := m.o.Ask(m.ctx, i)
			return Answer{i, time.Now(), status}
		})
	}
	return all
}

// AskAll asks all servers and waits for their answers.
func (m *Model) AskAll(now time.Time) {
	m.now = now
	answers := make(chan tea.Msg)
	asked := m.askAll()
	for _, question := range asked {
		go func() { answers <- question() }()
	}
	for range asked {
		m.Update(<-answers)
	}
}

// herd is what the latest answers say.
func (m *Model) herd() *view.Herd {
	var before, all []ask.Status
	for _, s := range m.servers {
		before, all = append(before, ask.Status{Server: s.name, Status: s.before()}), append(all, s.now)
	}
	return view.Of(before, all)
}

// key handles a key.
func (m *Model) key(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	switch {
	case key == "ctrl+c":
		return tea.Quit
	case m.filtering:
		m.filterKey(key, msg.Text)
		return nil
	case m.help:
		if _, ok := m.move(key); ok {
			m.scrollKey(key)
			return nil
		}
		m.help, m.scroll = false, 0
		if key != "q" {
			return nil
		}
	}
	switch key {
	case "q":
		return tea.Quit
	case "?", "h":
		m.help, m.scroll = true, 0
	case "/":
		if m.screen != serverScreen {
			m.filtering = true
		}
	case "l", "tab":
		m.screen = map[screen]screen{herdScreen: linkScreen, linkScreen: herdScreen, serverScreen: linkScreen}[m.screen]
	case "esc", "backspace", "left":
		switch {
		case m.screen == serverScreen:
			m.screen = m.back
		case m.filter != "":
			m.filter = ""
		default:
			m.screen = herdScreen
		}
	default:
		if m.screen == serverScreen {
			m.scrollKey(key)
		} else {
			m.tableKey(key)
		}
	}
	return nil
}

// filterKey handles a key while the filter is edited.
func (m *Model) filterKey(key, text string) {
	switch key {
	case "enter":
		m.filtering = false
	case "esc":
		m.filter, m.filtering = "", false
	case "backspace":
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.filter = m.filter[:len(m.filter)-size]
	case "ctrl+u":
		m.filter = ""
	default:
		m.addToFilter(text)
	}
}

// maxFilter is the longest filter, in bytes.
const maxFilter = 64

func (m *Model) addToFilter(text string) {
	if len(m.filter)+len(text) <= maxFilter && view.OneLine(text) == text {
		m.filter += text
	}
}

// matches reports whether one of the texts contains the filter, whatever its case.
func (m *Model) matches(texts ...string) bool {
	filter := strings.ToLower(m.filter)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), filter) })
}

// page is how far page keys move.
func (m *Model) page() int { return max(m.height-6, 1) }

// moves are how far keys move down.
func (m *Model) move(key string) (by int, ok bool) {
	const all = 1 << 20
	by, ok = map[string]int{
		"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -m.page(), "ctrl+b": -m.page(), "pgdown": m.page(),
		"ctrl+f": m.page(), "space": m.page(), "home": -all, "g": -all, "end": all, "G": all,
	}[key]
	return by, ok
}

// scrollKey handles a key of the server's screen or the help. View limits scroll.
func (m *Model) scrollKey(key string) {
	if by, ok := m.move(key); ok {
		m.scroll = max(m.scroll+by, 0)
	}
}

// tableKey handles a key of a table.
func (m *Model) tableKey(key string) {
	t := &m.tables[m.screen]
	rows := m.rows()
	at := max(slices.IndexFunc(rows, func(r row) bool { return r.key == t.selected }), 0)
	columns := len(m.columns())
	switch key {
	case "enter", "right":
		if len(rows) > 0 {
			m.server, m.back, m.screen, m.scroll = rows[at].server, m.screen, serverScreen, 0
		}
	case "s":
		t.sort, t.reverse = (t.sort+1)%columns, false
	case "S":
		t.sort, t.reverse = (t.sort+columns-1)%columns, false
	case "r":
		t.reverse = !t.reverse
	default:
		if by, ok := m.move(key); ok && len(rows) > 0 {
			t.selected = rows[min(max(at+by, 0), len(rows)-1)].key
		}
	}
}
