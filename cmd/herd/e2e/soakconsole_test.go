package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"serverherd/herd/access"
)

const jsonType = "application/json"

// consoleAttacks are those of consoles.
var consoleAttacks = []*attack{
	{name: "console tokens guessed", does: "GET with an unknown token", counter: "console.denied",
		log: "console request refused", reason: "token",
		want: "401", try: func(r *raider) string {
			return r.request("GET", "/status.json", "",
				map[string]string{"Authorization": fmt.Sprintf("Bearer herd_%d", r.n)})
		}},
	{name: "DNS rebinding", does: "GET with a foreign Host", counter: "console.denied",
		log: "console request refused", reason: "host",
		want: "403", try: func(r *raider) string {
			return r.request("GET", "/clients.ndjson", "", map[string]string{"Host": "evil.example"})
		}},
	{name: "a foreign page", does: "POST /send with a foreign Origin", counter: "console.denied",
		log: "console request refused", reason: "origin",
		want: "403", try: func(r *raider) string {
			return r.request("POST", "/send", fmt.Sprintf(`{"server":%q,"line":"IAMAT attacked +1+1 5"}`, r.server),
				map[string]string{"Origin": "http://evil.example", "Content-Type": jsonType})
		}},
	{name: "a foreign page reloads", does: "POST /reload with a foreign Origin", counter: "console.denied",
		log: "console request refused", reason: "origin", want: "403",
		try: func(r *raider) string { return r.request("POST", "/reload", "", foreign) }},
	{name: "a foreign page sets the level", does: "PUT /loglevel with a foreign Origin", counter: "console.denied",
		log: "console request refused", reason: "origin", want: "403",
		try: func(r *raider) string { return r.request("PUT", "/loglevel", levelError, foreign) }},
	{name: "a proxy's client reloads", does: "POST /reload through a proxy, without a token",
		counter: "console.denied", log: "console request refused", reason: "no credentials", want: "401",
		try: func(r *raider) string { return r.request("POST", "/reload", "", r.proxied()) }},
	{name: "a proxy's client sets the level", does: "PUT /loglevel through a proxy, without a token",
		counter: "console.denied", log: "console request refused", reason: "no credentials", want: "401",
		try: func(r *raider) string { return r.request("PUT", "/loglevel", levelError, r.proxied()) }},
	{name: "logins guessed", does: "POST /login with an unknown token", counter: "console.logins_refused",
		log: "console request refused", reason: "login",
		want: "401", try: func(r *raider) string {
			return r.request("POST", "/login", `{"token":"herd_wrong"}`, map[string]string{"Host": "herd.example.org",
				"Content-Type": jsonType})
		}},
	{name: "a signature for another server", does: "GET with a signature by the secret",
		counter: "console.signatures_refused",
		log:     "console request refused", reason: "signature", want: "401", try: func(r *raider) string {
			var n access.Nonce
			copy(n[:], fmt.Sprint(time.Now().UnixNano()))
			by := access.Sign(doorSecret, access.Question{Server: r.neighbor(), Method: "GET",
				Target: "/status.json"}, time.Now(), n)
			return r.request("GET", "/status.json", "", map[string]string{"Host": "herd.example.org",
				"Authorization": by})
		}},
	{name: "slow headers", does: "one byte of a request each second",
		want: "HTTP/1.1 408 .*|(HTTP/1.1 400 .*, )?" + closed, try: func(r *raider) string {
			conn, err := net.DialTimeout("tcp", r.s.Server(r.server).Console, patient)
			if err != nil {
				return ended("", err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(2 * patient))
			return dribble("GET /status.json HTTP/1.1\r\nHost: localhost\r\n")(conn)
		}},
	{name: "console TLS hangs", does: "half a hello, and nothing more", want: closed, try: func(r *raider) string {
		conn, err := net.DialTimeout("tcp", r.s.Server(r.server).Console, patient)
		if err != nil {
			return ended("", err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(2 * patient))
		_, _ = conn.Write(r.s.raids.helpers.hello[:100])
		return rest(conn)
	}},
	{name: "an unread page", does: "a WebSocket, and reads nothing for 12 s", want: "open, left",
		every: 5 * time.Second, try: func(r *raider) string {
			conn, err := net.DialTimeout("tcp", r.s.Server(r.server).Console, patient)
			if err != nil {
				return ended("", err)
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetReadBuffer(4096)
			_ = conn.SetDeadline(time.Now().Add(2 * patient))
			fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"+
				"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			head := make([]byte, len("HTTP/1.1 101"))
			if _, err := io.ReadFull(conn, head); err != nil || string(head) != "HTTP/1.1 101" {
				return ended(string(head), err)
			}
			time.Sleep(12 * time.Second)
			return "open, left"
		}},
}

const levelError = `{"level":"error"}` // hardly anything would be logged

var foreign = map[string]string{"Origin": "http://evil.example", "Content-Type": jsonType}

// proxied are the headers of a request that a proxy forwards.
func (r *raider) proxied() map[string]string {
	all := []map[string]string{{"X-Forwarded-For": "203.0.113.7"}, {"Forwarded": "for=203.0.113.7;proto=https"},
		{"X-Real-IP": "203.0.113.7"}, {"Via": "1.1 proxy"}}
	h := all[r.n%len(all)]
	h["Content-Type"] = jsonType
	return h
}

// request sends a request to the server's console and returns the status. A refusal must have its reason.
func (r *raider) request(method, path, body string, headers map[string]string) string {
	q, err := http.NewRequest(method, "http://"+r.s.Server(r.server).Console+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	for name, value := range headers {
		q.Header.Set(name, value)
	}
	q.Host = headers["Host"]
	a, err := doorClient.Do(q)
	if err != nil {
		return ended("", err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	var e struct{ Error string }
	if err != nil || json.Unmarshal(text, &e) != nil || e.Error == "" {
		return fmt.Sprintf("%d %.100q", a.StatusCode, text)
	}
	return fmt.Sprint(a.StatusCode)
}
