package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/console"
	"serverherd/cmd/herd/hygiene"
	"serverherd/cmd/herd/load"
	"serverherd/cmd/herd/ping"
	"serverherd/cmd/herd/top"
	"serverherd/cmd/herd/view"
	"serverherd/cmd/herd/view/statusview"
	"serverherd/cmd/herd/view/style"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/herd/trace"
	"serverherd/places"
	"serverherd/protocol"
)

// filled is a T whose strings are text.
func filled[T any](text string) *T {
	v := new(T)
	hygiene.Fill(v, text)
	return v
}

// statusesOf are answers of consoles of which one is well, but says text everywhere, and one fails with it.
func statusesOf(text string) []ask.Status {
	hostile, other := filled[herd.Status](text), filled[herd.Status](text)
	hostile.Ready, other.Server = true, "Ball"
	return []ask.Status{{Server: "Alford", Status: hostile}, {Server: "Ball", Status: other}, {Server: text, Error: text}}
}

// renderers make what commands print: each of a text that somebody else has written.
var renderers = map[string]func(out io.Writer, text string){
	"client": func(out io.Writer, text string) { _ = printClient(out, filled[console.ClientStatus](text)) },
	"console error": func(out io.Writer, text string) {
		fmt.Fprint(out, consoleError(config.Server{Name: "Alford"}, text))
	},
	"error":   func(out io.Writer, text string) { <-printError(out, errors.New(text)) },
	"refusal": func(out io.Writer, text string) { fmt.Fprint(out, oneLine(refusal("> "+text))) },
	"watch": func(out io.Writer, text string) {
		for _, terminal := range []bool{false, true} {
			p := newUpdatePrinter(out)
			p.terminal = terminal
			_ = p.print(*filled[console.WatchLine](text))
		}
	},
	"trace": func(out io.Writer, text string) {
		t := filled[trace.Tree](text)
		t.Nodes = append(t.Nodes, t.Nodes[0], t.Nodes[0])
		for i, o := range []trace.Outcome{trace.Behind, trace.Superseded, trace.Unanswered} {
			t.Nodes[i].Outcome, t.Nodes[i].Depth = o, i
		}
		_ = printTrace(out, t, style.Styles{})
		fmt.Fprint(out, traceErrors([]trace.Answer{{Server: "Alford", Error: text}}))
	},
	"ready": func(out io.Writer, text string) { _ = printReady(out, []ask.Readiness{*filled[ask.Readiness](text)}) },
	"status": func(out io.Writer, text string) {
		all := statusesOf(text)
		h := view.Of(all, all)
		for _, width := range []int{statusview.Narrowest, 200} {
			s := statusview.Screen{Width: width}
			fmt.Fprintln(out, strings.Join(s.Herd("ucla", h), "\n"))
			for _, a := range all {
				fmt.Fprintln(out, strings.Join(s.Server(a, h), "\n"))
			}
		}
		fmt.Fprint(out, unanswered(all))
	},
	"top": func(out io.Writer, text string) {
		all := statusesOf(text)
		m := top.New(context.Background(), top.Options{Herd: "ucla", Servers: []string{"Alford", "Ball", text}, Interval: time.Second,
			Ask: func(_ context.Context, i int) ask.Status { return all[i] }})
		for second := range 2 {
			m.AskAll(time.Unix(int64(second), 0))
		}
		fmt.Fprintln(out, m.Whole(120))
		for _, key := range []rune{'l', 'j', tea.KeyEnter, 'j'} {
			fmt.Fprintln(out, pressed(m, key))
		}
		_ = printJSON(out, m.Report())
	},
	"ping": func(out io.Writer, text string) {
		_ = (&pingTable{out: out}).draw([]ping.Result{*filled[ping.Result](text)})
	},
	"places": func(out io.Writer, text string) {
		name, _ := json.Marshal(text)
		raw := json.RawMessage(`{"name":` + string(name) + `,"types":[` + string(name) + `]}`)
		credits := places.Field{Name: "html_attributions", Value: json.RawMessage("[" + string(name) + "]")}
		r := places.Result{Results: []json.RawMessage{raw}, Before: []places.Field{credits}, Status: "OK"}
		_ = printPlaces(out, places.Query{}, r, filled[places.Report](text))
		_, _ = out.Write(view.JSON(places.AppendJSON(nil, r, protocol.MaxBound)))
	},
	"load": func(out io.Writer, text string) {
		say := func(s string) { fmt.Fprintln(out, view.OneLine(s)) }
		l := lineLogs{first: logSample{servers: []*herd.Status{filled[herd.Status](text)}}, say: say}
		_, names := l.first.files()
		fmt.Fprintln(out, names)
		_ = writeJSON(out, filled[load.Report](text))
	},
	"up": func(out io.Writer, text string) {
		p := &prefixed{width: 4, color: map[string]string{}}
		for line := range strings.Lines(text + "\n") {
			_, _ = out.Write(bytes.ReplaceAll(p.entry("herd", strings.TrimSuffix(line, "\n")), []byte("\t"), nil))
		}
	},
	"json": func(out io.Writer, text string) {
		for _, v := range []any{statusesOf(text), filled[ask.Readiness](text), filled[ask.Traced](text), filled[ping.Result](text),
			filled[sent](text), filled[console.WatchLine](text), filled[console.ClientStatus](text)} {
			_ = printJSON(out, v)
		}
	},
	// Everything that is not drawn: replies above all.
	"terminal": func(out io.Writer, text string) {
		var shown bytes.Buffer
		o := &output{w: &shown, terminal: true}
		_, _ = io.WriteString(o, text+"\n")
		_, _ = out.Write(bytes.ReplaceAll(shown.Bytes(), []byte("\t"), nil))
	},
}

// pressed is the screen of top after a key.
func pressed(m *top.Model, key rune) string {
	m.Update(tea.KeyPressMsg{Text: string(key), Code: key})
	return m.Frame()
}

// Whatever is in an id, a line, a status or an error: no byte that a terminal interprets is printed, and no tab, which
// would move what is in other columns.
func FuzzHygiene(f *testing.F) {
	names := slices.Sorted(maps.Keys(renderers))
	for _, text := range hygiene.Texts() {
		for i := range names {
			f.Add(text, byte(i))
		}
	}
	f.Fuzz(func(t *testing.T, text string, i byte) {
		name := names[int(i)%len(names)]
		var out bytes.Buffer
		renderers[name](&out, text)
		if err := hygiene.Unescaped(out.Bytes()); err != nil || bytes.Contains(out.Bytes(), []byte("\t")) || out.Len() == 0 {
			t.Errorf("%s: %q: %v in %.300q", name, text, err, &out)
		}
	})
}

// hostileRuns is how TestCommandsAndHostileText runs a command: arguments, or why there is nothing to run.
type hostileRuns struct {
	args [][]string // ID is a hostile id, LINE a hostile line
	raw  bool       // a pipe gets the bytes of the reply: a program has asked for them
	why  string
}

var commandsAndHostileText = map[string]hostileRuns{
	"iamat":    {args: [][]string{{"ID", "+1+1", "5"}}, raw: true},
	"whatsat":  {args: [][]string{{"ID"}, {"ID", "--json"}}, raw: true},
	"send":     {args: [][]string{{"LINE"}, {"WHATSAT", "ID", "10", "5"}}, raw: true},
	"shell":    {args: [][]string{{}}, raw: true},
	"ping":     {args: [][]string{{"-c", "1", "--interval", "1ms"}, {"-c", "1", "--json"}}},
	"top":      {args: [][]string{{"--once"}, {"--once", "--json"}}},
	"status":   {args: [][]string{{}, {"Alford"}, {"--json"}}},
	"ready":    {args: [][]string{{}, {"--json"}}},
	"reload":   {args: [][]string{{}, {"Alford", "--json"}}},
	"loglevel": {args: [][]string{{}, {"--json"}, {"debug"}, {"debug", "Alford", "--json"}}},
	"trace":    {args: [][]string{{"ID"}, {"ID", "--json"}}},
	"client":   {args: [][]string{{"ID"}, {"ID", "--json"}}},
	"watch":    {args: [][]string{{"-c", "2"}, {"-c", "2", "--json"}, {"ID", "-c", "1"}}},
	"export":   {args: [][]string{{}}},
	"load":     {args: [][]string{{"--duration", "50ms", "--warmup", "0s", "-c", "1"}, {"--duration", "50ms", "--warmup", "0s", "-c", "1", "--json", "-"}}},
	"demo":     {args: [][]string{{"--duration", "100ms", "--clients", "1", "--rate", "10"}}},

	"up":         {why: "TestPrefixed, and renderers"},
	"serve":      {why: "package logging has a fuzz target"},
	"places":     {why: "asks a provider and no server; renderers"},
	"cert":       {why: "shows what its arguments and herd.toml say"},
	"token":      {why: "shows what its arguments and herd.toml say"},
	"config":     {why: "shows herd.toml"},
	"study":      {why: "starts another program"},
	"version":    {why: "shows nothing of others"},
	"help":       {why: "shows nothing of others"},
	"completion": {why: "shows nothing of others"},
}

// All commands, against a console and a server that say hostile text wherever they can. Each command is in the table, so
// that a new one cannot be forgotten. Where a pipe gets raw bytes, a terminal does not: TestReplyOnATerminal.
func TestCommandsAndHostileText(t *testing.T) {
	t.Parallel()
	for _, c := range newRoot().Commands() {
		if s, ok := commandsAndHostileText[c.Name()]; !ok || (len(s.args) == 0) != (s.why != "") {
			t.Errorf("%s: what does it do with hostile text? Say so in commandsAndHostileText", c.Name())
		}
	}
	for _, text := range []string{hygiene.Mixed(), strings.Repeat("\u202e", 341)} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			reply := strings.ReplaceAll(strings.ReplaceAll(text, "\n", ""), "\r", "")
			server := fakeServer(t, answering(func(line string) string {
				if client.Verb(line) == "IAMAT" && strings.Contains(line, "refused") {
					return "> " + reply + "\n? " + line + "\n\n"
				}
				return "AT " + reply + "\n\n"
			}))
			for what, handler := range hostileConsoles(text) {
				file := oneServer(t, server, handler)
				for _, name := range slices.Sorted(maps.Keys(commandsAndHostileText)) {
					for _, args := range commandsAndHostileText[name].args {
						testHostileText(t, what, file, name, text, reply, args)
					}
				}
			}
		})
	}
}

func testHostileText(t *testing.T, what, file, name, text, reply string, args []string) {
	t.Helper()
	line := []string{name, "--config", file}
	for _, a := range args {
		line = append(line, strings.ReplaceAll(strings.ReplaceAll(a, "ID", idOf(text)), "LINE", "x"+idOf(text)))
	}
	var out, errOut bytes.Buffer
	run(line, strings.NewReader("WHATSAT kiwi 10 5\n"), &out, &errOut)
	if what == "values" && out.Len() == 0 {
		t.Errorf("herd %q printed nothing: %s", line[3:], errOut.String()[max(0, errOut.Len()-300):])
	}
	if err := hygiene.Unescaped(errOut.Bytes()); err != nil {
		t.Errorf("%s: herd %q: standard error: %v", what, line[3:], err)
	}
	if commandsAndHostileText[name].raw {
		if !strings.Contains(out.String(), reply) && !slices.Contains(args, "--json") {
			t.Errorf("%s: herd %s %q to a pipe: no raw reply in %q", what, name, args, &out)
		}
	} else if err := hygiene.Unescaped(out.Bytes()); err != nil {
		t.Errorf("%s: herd %s %q: %v", what, name, args, err)
	}
}

// idOf makes an id of a text, which may have spaces, that is one argument.
func idOf(text string) string {
	text = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n\v\f\x00", r) {
			return -1
		}
		return r
	}, text)
	return "x" + text[:min(len(text), 1000)]
}

// oneServer is a herd.toml with one server, at an address, whose console is a handler.
func oneServer(t *testing.T, server string, handler http.HandlerFunc) (file string) {
	file, _ = consolesOf(t, handler)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(text, []byte(`"127.0.0.1:1"`), []byte(`"`+server+`"`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// hostileConsoles are consoles of Alford: one answers with text everywhere, one fails with it, one sends it raw.
func hostileConsoles(text string) map[string]http.HandlerFunc {
	values := func(w http.ResponseWriter, r *http.Request) {
		encode := func(v any) { _ = json.NewEncoder(w).Encode(v) } // as another program might
		id := r.URL.Query().Get("id")
		switch r.URL.Path {
		case "/status.json":
			s := filled[herd.Status](text)
			s.Server = "Alford"
			encode(s)
		case "/readyz":
			http.Error(w, "not ready: "+text, http.StatusServiceUnavailable)
		case "/reload":
			d := filled[console.Reloaded](text)
			d.Server = "Alford"
			for name := range reloadColumns { // each cell is shown
				one := d.Parts[0]
				one.Part = name
				d.Parts = append(d.Parts, one)
			}
			encode(d)
		case "/loglevel":
			l := filled[console.LogLevel](text)
			l.Server = "Alford"
			encode(l)
		case "/client.json":
			c := filled[console.ClientStatus](text)
			c.Server, c.Base64 = "Alford", []byte(id)
			encode(c)
		case "/trace.json":
			f := filled[herd.Flood](text)
			f.Server, f.Hash, f.Events = "Alford", "00000000000000ff", nil
			f.Latest.AT, f.Latest.Hash = []byte("AT Alford +0.5 "+id+" +1+1 5"), "00000000000000ff"
			encode(f)
		case "/watch":
			encode(console.WatchLine{Server: "Alford", Epoch: text})
			l := filled[console.WatchLine](text)
			l.Server, l.Epoch = "", ""
			encode(l)
			encode(l)
		case "/clients.ndjson":
			mark := filled[console.ClientsMark](text)
			mark.Server, mark.Complete = "Alford", false
			encode(mark)
			r := filled[console.Record](text)
			r.Seq, r.Base64 = 1, []byte(idOf(text))
			encode(r)
			mark.Complete = true
			encode(mark)
		default:
			http.Error(w, text, http.StatusNotFound)
		}
	}
	failures := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
	}
	raw := func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		body := `{"server":"` + text + `","error":"` + text + `",` + text
		fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", 200+len(text)%2*300, text, len(body), body)
	}
	return map[string]http.HandlerFunc{"values": values, "errors": failures, "raw": raw}
}
