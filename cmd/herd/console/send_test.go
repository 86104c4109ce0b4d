package console

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"serverherd/cmd/herd/console/door"
	"serverherd/herd"
	"serverherd/herd/config"
)

// clientPort is a listener that answers each connection by f.
func clientPort(t *testing.T, f func(c net.Conn, line string)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, _ := bufio.NewReader(c).ReadString('\n')
				f(c, line)
			}()
		}
	}()
	return l.Addr().String()
}

// sender starts a console whose herd has one server, Ball, at an address.
func sender(t *testing.T, ball, dialect string) string {
	t.Helper()
	cfg := &config.Config{Herd: config.Herd{Dialect: dialect}, Limits: config.Limits{MaxLine: 100}, Servers: []config.Server{
		{Name: "Alford", Address: "127.0.0.1:1"}, {Name: "Ball", Address: ball},
	}}
	pages := NewPages()
	t.Cleanup(pages.Close)
	return start(t, Options{Status: fixed(well("Alford")), Name: "Alford", Config: cfg, Pages: pages})
}

// post sends what a page would send to /send, with other headers where there are some.
func post(t *testing.T, addr, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/send", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "http://"+addr)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

const whatsat = `{"server":"Ball","line":"WHATSAT kiwi 10 5"}`

func TestSend(t *testing.T) {
	reply := "AT Ball +0.5 kiwi +1-1 5\n{\n \"results\": []\n}\n\n"
	got := make(chan string, 9)
	answering := func(c net.Conn, line string) {
		got <- line
		if strings.HasPrefix(line, "IAMAT") {
			_, _ = io.WriteString(c, "> IAMAT POSITION: bad\n? "+line+"\n")
		} else {
			for _, part := range strings.SplitAfter(reply, "\n") { // in parts
				_, _ = io.WriteString(c, part)
			}
		}
		_, _ = io.Copy(io.Discard, c)
	}
	for _, dialect := range []string{"paper", "cs131"} {
		addr := sender(t, clientPort(t, answering), dialect)
		code, body := post(t, addr, whatsat)
		var a SendAnswer
		if err := json.Unmarshal([]byte(body), &a); code != 200 || err != nil || !a.OK || a.Server != "Ball" ||
			a.Line != "WHATSAT kiwi 10 5" || a.Reply != strings.TrimRight(reply, "\n") || a.Seconds <= 0 {
			t.Errorf("%s: %d %s", dialect, code, body)
		}
		if line := <-got; line != "WHATSAT kiwi 10 5\n" {
			t.Errorf("sent %q", line)
		}
		code, body = post(t, addr, `{"server":"Ball","line":"IAMAT kiwi 1 5"}`)
		if err := json.Unmarshal([]byte(body), &a); code != 200 || err != nil || a.OK || !strings.HasPrefix(a.Reply, "> IAMAT POSITION: bad") {
			t.Errorf("%s: %d %s", dialect, code, body)
		}
		<-got
	}
}

// Whose request it is, and what it must be: nothing else reaches a server.
func TestSendRefuses(t *testing.T) {
	addr := sender(t, clientPort(t, func(net.Conn, string) { t.Error("a line was sent") }), "paper")
	line := func(text string) string {
		b, _ := json.Marshal(SendRequest{"Ball", text})
		return string(b)
	}
	for name, test := range map[string]struct {
		code    int
		body    string
		headers []string
	}{
		"no origin":           {401, whatsat, []string{"Origin", ""}},
		"another site":        {403, whatsat, []string{"Origin", "http://example.com"}},
		"a bracket behind":    {400, whatsat + "]", nil},
		"a brace behind":      {400, whatsat + "}", nil},
		"not UTF-8":           {400, `{"server":"Ball","line":"WHATSAT ki` + "\xff" + `wi 10 5"}`, nil},
		"another port":        {403, whatsat, []string{"Origin", "http://127.0.0.1:1"}},
		"no site":             {403, whatsat, []string{"Origin", "null"}},
		"a form":              {415, whatsat, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"plain text":          {415, whatsat, []string{"Content-Type", "text/plain"}},
		"no type":             {415, whatsat, []string{"Content-Type", ""}},
		"two types":           {415, whatsat, []string{"Content-Type", "text/plain, application/json"}},
		"huge":                {413, `{"server":"Ball","line":"IAMAT ` + strings.Repeat("x", 1<<20) + `"}`, nil},
		"too long":            {400, line("IAMAT " + strings.Repeat("x", 95)), nil},
		"LF":                  {400, line("IAMAT kiwi +1+1 5\nWHATSAT kiwi 1 1"), nil},
		"CR":                  {400, line("IAMAT kiwi +1+1 5\r"), nil},
		"NUL":                 {400, line("IAMAT ki\x00wi +1+1 5"), nil},
		"tab":                 {400, line("IAMAT\tkiwi +1+1 5"), nil},
		"HELLO":               {400, line("HELLO IAMAT"), nil},
		"AT":                  {400, line("AT Ball +0.5 kiwi +1-1 5"), nil},
		"quit":                {400, line("quit"), nil},
		"empty":               {400, line(""), nil},
		"small letters":       {400, line("iamat kiwi +1+1 5"), nil},
		"no JSON":             {400, "server=Ball", nil},
		"nothing":             {400, "", nil},
		"two":                 {400, whatsat + whatsat, nil},
		"an address":          {400, `{"server":"Ball","line":"WHATSAT kiwi 1 1","address":"127.0.0.1:1"}`, nil},
		"an address as name":  {404, `{"server":"127.0.0.1:1","line":"WHATSAT kiwi 1 1"}`, nil},
		"another server":      {404, `{"server":"Holiday","line":"WHATSAT kiwi 1 1"}`, nil},
		"no server":           {404, `{"line":"WHATSAT kiwi 1 1"}`, nil},
		"a server that is no": {502, `{"server":"Alford","line":"WHATSAT kiwi 1 1"}`, nil},
	} {
		if code, body := post(t, addr, test.body, test.headers...); code != test.code || errorOf(body) == "" {
			t.Errorf("%s: %d %.200s, want %d", name, code, body, test.code)
		}
	}
	if code, body := fetch(t, addr, "", "/send"); code != 405 {
		t.Errorf("GET: %d %s", code, body)
	}
}

// A server may hang, send what is no reply, send without end, or leave.
func TestSendToBadServers(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(c net.Conn, line string)
		code   int
		text   string
	}{
		"garbage": {func(c net.Conn, _ string) { _, _ = io.WriteString(c, "HTTP/1.1 400 \x1b[31m\n\n") }, 502, "is not a herd server"},
		"leaves":  {func(c net.Conn, _ string) { _, _ = io.WriteString(c, "AT Ball +0.5 kiwi\n{") }, 502, "closed the connection"},
		"no end of line": {func(c net.Conn, _ string) {
			_, _ = io.WriteString(c, "AT "+strings.Repeat("x", herd.ConsoleSendReply+64<<10))
		}, 502, "longer than 1048576 bytes"},
		"no end": {func(c net.Conn, _ string) {
			for line := "AT Ball\n"; ; line = strings.Repeat("x", 1000) + "\n" {
				if _, err := io.WriteString(c, line); err != nil {
					return
				}
			}
		}, 502, "longer than 1048576 bytes"},
	} {
		code, body := post(t, sender(t, clientPort(t, test.answer), "paper"), whatsat)
		if code != test.code || !strings.Contains(errorOf(body), test.text) || strings.ContainsRune(body, 0x1b) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

// sendConsole is a console with another timeout of /send.
func sendConsole(t *testing.T, ball string, timeout time.Duration) (*http.Server, string) {
	t.Helper()
	c := &console{
		Options:     Options{Config: &config.Config{Limits: config.Limits{MaxLine: 100}, Servers: []config.Server{{Name: "Ball", Address: ball}}}},
		sends:       make(chan struct{}, herd.ConsoleSends),
		encoders:    make(chan struct{}, 1),
		sendTimeout: timeout,
	}
	c.Config.Herd.Dialect = "paper"
	c.Door = door.New(door.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: c.serve([]route{{"/send", []string{"POST"}, door.Operate, page, c.send}})}
	go func() { _ = Serve(s, l) }()
	t.Cleanup(func() { s.Close() })
	return s, l.Addr().String()
}

// hanging is a server that begins a reply.
func hanging(c net.Conn, _ string) {
	_, _ = io.WriteString(c, "AT Ball\n")
	_, _ = io.Copy(io.Discard, c)
}

// A server that hangs holds neither a browser that leaves nor the end of the console.
func TestSendThatHangs(t *testing.T) {
	reached, left := make(chan struct{}), make(chan struct{})
	ball := clientPort(t, func(c net.Conn, line string) {
		reached <- struct{}{}
		hanging(c, line)
		left <- struct{}{}
	})
	s, addr := sendConsole(t, ball, time.Hour)
	for _, end := range []func(c net.Conn){func(c net.Conn) { c.Close() }, func(net.Conn) { Close(s) }} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "POST /send HTTP/1.1\r\nHost: "+addr+"\r\nOrigin: http://"+addr+
			"\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(whatsat))+"\r\n\r\n"+whatsat)
		<-reached
		end(c)
		<-left
	}
}

// Only a few lines are sent at once.
func TestSendsAreLimited(t *testing.T) {
	cfg := &config.Config{Limits: config.Limits{MaxLine: 100}, Servers: []config.Server{{Name: "Ball"}}}
	c := &console{Options: Options{Config: cfg}, sends: make(chan struct{}, herd.ConsoleSends)}
	for range herd.ConsoleSends {
		c.sends <- struct{}{}
	}
	w := httptest.NewRecorder()
	c.send(w, httptest.NewRequest("POST", "/send", strings.NewReader(whatsat)))
	if w.Code != 503 || errorOf(w.Body.String()) == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	<-c.sends
	w = httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/send", strings.NewReader(`{"server":"Ball","line":"quit"}`))
	r.Header.Set("Content-Type", "application/json")
	c.send(w, r)
	if w.Code != 400 || len(c.sends) != herd.ConsoleSends-1 {
		t.Errorf("%d %s, %d sends", w.Code, w.Body, len(c.sends))
	}
}

// A reply has a time, however much of it comes.
func TestSendTimeout(t *testing.T) {
	_, addr := sendConsole(t, clientPort(t, hanging), 100*time.Millisecond)
	code, body := post(t, addr, whatsat)
	if code != 504 || errorOf(body) != "Ball: no reply within 100ms" {
		t.Errorf("%d %s", code, body)
	}
}
