package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// lines that are only good on links.
const linkLines = "AT Welsh +0.1 forged +1-1 1520023934 Welsh\nACK 7\nMARK 1 1 - 1 0000000000000000\nPING 3\n" +
	"RESUME 1 2\nWELCOME 00000000000000aa - - 0\n"

const (
	tokenRequired = "> TOKEN: required: the first line must be TOKEN and your token"
	closed        = "(closed|reset)"
)

// slowAttacks keep connections open for as long as they may.
var slowAttacks = []*attack{
	{name: "silence", does: "connects and says nothing", counter: "tokens_late",
		log: "connection closed, no valid token", exact: true,
		want: "> TOKEN: no token came in time, closed", try: func(r *raider) string { return r.says("") }},
	{name: "slowloris", does: "one byte of a line each second", counter: "partial_timeouts",
		want: "> LINE: not finished within 4s, closed",
		try:  func(r *raider) string { return r.with(dribble("IAMAT slow +1+1 1520023934")) }},
	{name: "slow PROXY header", does: "half a header, and waits", counter: "partial_timeouts",
		want: "(> LINE: not finished within 4s, )?closed",
		try: func(r *raider) string {
			conn, err := r.dial()
			if err != nil {
				return ended("", err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "PROXY TCP4 10.")
			return rest(conn)
		}},
	{name: "slow reader", does: "with a token: 300,000 lines, and reads nothing", counter: "output_limits",
		log:  "client cut off",
		want: "replies, " + closed, every: 2 * time.Second, try: func(r *raider) string {
			conn, err := r.welcome("mute")
			if err != nil {
				return ended("", err)
			}
			defer conn.Close()
			_ = conn.(*net.TCPConn).SetReadBuffer(4096)
			_ = conn.SetWriteDeadline(time.Now().Add(15 * time.Second))
			_, _ = io.WriteString(conn, strings.Repeat("x\n", 300_000)) // more than the server and the kernel take
			return ended("replies", firstError(conn))
		}},
}

// firstError reads to the end of a connection.
func firstError(conn io.Reader) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// dribble sends text byte by byte until the server closes the connection.
func dribble(text string) func(net.Conn) string {
	return func(conn net.Conn) string {
		got := make(chan string, 1)
		go func() { got <- rest(conn) }()
		for i := range len(text) {
			_, _ = io.WriteString(conn, text[i:i+1])
			select {
			case saw := <-got:
				return saw
			case <-time.After(time.Second):
			}
		}
		return <-got
	}
}

// garbageAttacks send what is no line of a client.
var garbageAttacks = []*attack{
	{name: "random bytes", does: "4 KB", counter: "tokens_missing", log: "line refused",
		want: tokenRequired + ".*, " + closed,
		try: func(r *raider) string {
			return r.with(func(conn net.Conn) string {
				p := make([]byte, 4096)
				for i := range p {
					p[i] = byte(r.chance.IntN(256))
				}
				_, _ = conn.Write(append([]byte("x\n"), p...))
				_ = conn.(*net.TCPConn).CloseWrite()
				return rest(conn)
			})
		}},
	{name: "NULs and telnet", does: "lines of NULs, escapes and telnet commands", counter: "tokens_missing",
		log:  "line refused",
		want: "(.{0,20})?" + tokenRequired + ".*, " + closed, try: func(r *raider) string {
			return r.with(func(conn net.Conn) string {
				_, _ = io.WriteString(conn, "\x00\x00IAMAT\x00 a\x1b[2J +1+1 5\nIAMAT \xe2\x80\xae\xff\xf4\xff\xfd\x06 x\r\n")
				_ = conn.(*net.TCPConn).CloseWrite()
				return rest(conn)
			})
		}},
	{name: "HTTP", does: "a GET at a client port", counter: "other_protocols", log: "other protocol refused",
		want: closed, exact: true,
		try: func(r *raider) string { return r.says("GET / HTTP/1.1\r\nHost: herd\r\n\r\n") }},
	{name: "SSH", does: "a banner", counter: "other_protocols", log: "other protocol refused", want: closed,
		exact: true,
		try:   func(r *raider) string { return r.says("SSH-2.0-OpenSSH_9.6\r\n") }},
	{name: "UTF-16", does: "lines in it", counter: "other_protocols", log: "other protocol refused", exact: true,
		want: "> LINE: this is UTF-16; send UTF-8, " + closed,
		try:  func(r *raider) string { return r.says("\xff\xfeI\x00A\x00M\x00A\x00T\x00\n\x00") }},
	{name: "endless line", does: "20,000 bytes without LF", counter: "lines_too_long", exact: true,
		want: "> LINE: .*, " + closed,
		try:  func(r *raider) string { return r.says(strings.Repeat("x", 20_000)) }},
	{name: "churn", does: "ten connections, closed, half closed, or reset at once", counter: "accepted", want: "gone",
		try: churn},
}

// churn opens connections and leaves them.
func churn(r *raider) string {
	for i := range 10 {
		conn, err := r.client()
		if err != nil {
			return ended("", err)
		}
		switch tcp := conn.(*net.TCPConn); i % 4 {
		case 1:
			_, _ = io.WriteString(conn, "IAMAT half")
		case 2:
			_ = tcp.CloseWrite()
		case 3:
			_ = tcp.SetLinger(0)
		}
		conn.Close()
	}
	return "gone"
}

// forgeries claim to be a neighbor, or a proxy.
var forgeries = []*attack{
	{name: "PROXY twice", does: "two headers", counter: "other_protocols", log: "other protocol refused",
		want: closed, exact: true,
		try: func(r *raider) string { return r.says(r.header() + "help\n") }},
	{name: "PROXY malformed", does: "a header without addresses", counter: "other_protocols",
		log: "other protocol refused", want: closed, exact: true,
		try: func(r *raider) string { return r.bare("PROXY TCP4 here there\r\nhelp\n") }},
	{name: "PROXY missing", does: "a line from a proxy's address, without a header", counter: "proxy_refused",
		log: "client refused", want: closed, exact: true,
		try: func(r *raider) string { return r.bare("help\n") }},
	{name: "forged link lines", does: "AT, ACK, MARK, PING, RESUME and WELCOME with a client's token",
		counter: "refused", want: `\?`,
		try: func(r *raider) string {
			conn, err := r.welcome("forger")
			if err != nil {
				return ended("", err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, linkLines)
			return answers(conn, strings.Count(linkLines, "\n"), "? ")[:1]
		}},
	{name: "link without TLS", does: "HELLO of a neighbor", counter: "handshakes_failed", log: "neighbor refused",
		want: "REFUSE tls, " + closed,
		try:  func(r *raider) string { return r.says(r.hello(r.neighbor())) }},
	{name: "link of a stranger", does: "HELLO of a server that is no neighbor", counter: "handshakes_failed",
		log:  "neighbor refused",
		want: "REFUSE from: Kiwi is not a neighbor of .*, " + closed,
		try:  func(r *raider) string { return r.says(r.hello("Kiwi")) }},
	{name: "link without a certificate", does: "HELLO of a neighbor over TLS", counter: "handshakes_failed",
		log:  "neighbor refused",
		want: "REFUSE tls, " + closed, try: func(r *raider) string {
			return r.over(&tls.Config{}, func(conn net.Conn) string {
				_, _ = io.WriteString(conn, r.hello(r.neighbor()))
				return rest(conn)
			})
		}},
	{name: "link without the secret", does: "a handshake with a stolen certificate and a wrong secret",
		counter: "handshakes_failed", log: "neighbor refused",
		want: "REFUSE proof, " + closed,
		try:  func(r *raider) string { return r.handshake("another secret of the herd", false) }},
	{name: "handshake replayed", does: "a proof for an earlier challenge, with a stolen certificate",
		counter: "handshakes_failed", log: "neighbor refused",
		want: "REFUSE proof, " + closed, try: func(r *raider) string { return r.handshake(doorSecret, true) }},
}

// bare sends text without a PROXY header in front.
func (r *raider) bare(text string) string {
	conn, err := r.dial()
	if err != nil {
		return ended("", err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, text)
	return rest(conn)
}

// neighbor is a neighbor of the server.
func (r *raider) neighbor() string { return r.s.Server(r.server).Neighbors[r.n%2] }

func (r *raider) hello(from string) string {
	return fmt.Sprintf("HELLO herd/1 ucla %s %s 00000000000000aa %s\r\n", from, r.server, nonce)
}

// over does something over TLS, which does not check the server.
func (r *raider) over(t *tls.Config, do func(conn net.Conn) string) string {
	return r.with(func(conn net.Conn) string {
		t.InsecureSkipVerify = true
		secure := tls.Client(conn, t)
		if err := secure.Handshake(); err != nil {
			return ended("", err)
		}
		return do(secure)
	})
}

// handshake claims to be a neighbor, with its certificate. The proof may be that of another challenge.
func (r *raider) handshake(secret string, replayed bool) string {
	from := r.neighbor()
	return r.over(as(r.s.raids.helpers.stolen[from]), func(conn net.Conn) string {
		p := newPeer(conn, secret)
		if got := p.hello(from, r.server, "00000000000000aa"); !strings.HasPrefix(got, "CHALLENGE ") {
			return got
		}
		if replayed {
			p.said = strings.Replace(p.said, "CHALLENGE ", "CHALLENGE 0", 1)
		}
		p.say("PROOF " + p.mac(dialer, "PROOF"))
		return rest(p.r)
	})
}

// floodAttacks are of clients with a token, or of one address.
var floodAttacks = []*attack{
	{name: "line flood", does: "500 lines in one go, with a token", counter: "limit_lines", log: "limit exceeded",
		want: "> LIMIT: .* and Available commands.*",
		try: func(r *raider) string {
			return r.flood("noisy", strings.Repeat("help\n", 500), "Available commands",
				"> LIMIT: more than 300 lines a second of this token")
		}},
	{name: "update flood", does: "80 updates of one client in one go, with a token", counter: "limit_updates",
		log: "limit exceeded", writes: true,
		want: "> LIMIT: .* and AT", try: func(r *raider) string {
			var text strings.Builder
			for i := range 80 {
				fmt.Fprintf(&text, "IAMAT noisy +1+1 %d.%03d\n", time.Now().Unix(), i)
			}
			return r.flood("writer", text.String(), "AT", "> LIMIT: more than 50 updates a second of this client")
		}},
	{name: "WHATSAT flood", does: "50 questions in one go, with a token", counter: "limit_whatsats",
		log:  "limit exceeded",
		want: "AT|> LIMIT: .* WHATSATs a day of this address( and AT)?", try: func(r *raider) string {
			return r.flood("asker", strings.Repeat("WHATSAT noisy 10 5\n", 50), "AT",
				fmt.Sprintf("> LIMIT: more than %d WHATSATs a day of this address", r.s.questions))
		}},
	{name: "one address' connections", does: "41 at once, the last one says nothing", counter: "limit_connections",
		log: "limit exceeded", every: 2 * time.Second,
		want: "> LIMIT: more than 40 connections of this address, " + closed, try: func(r *raider) string {
			for range 40 {
				conn, err := r.client()
				if err != nil {
					return ended("", err)
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "help\n")
				if got := answers(conn, 1, "Available commands"); got != "Available commands" { // earlier ones are not gone yet
					return strings.Replace(got, `\n\n"`, ", closed", 1)[1:]
				}
			}
			return r.says("")
		}},
	{name: "tokens guessed", does: "an unknown token, and a line behind it", counter: "tokens_refused",
		log: "token refused", exact: true,
		want: "> TOKEN: unknown or expired, " + closed, try: func(r *raider) string {
			return r.says(fmt.Sprintf("TOKEN %s%d\nIAMAT guessed +1+1 5\n", tokenText("bystander")[:r.n%20], r.n))
		}},
	{name: "a token's rights exceeded", does: "an update outside the prefix of the token", counter: "rights_refused",
		log: "line refused", exact: true,
		want: "> IAMAT TOKEN", try: func(r *raider) string {
			return r.flood("fleet", "IAMAT fleet8/x +1+1 5\n",
				"> IAMAT TOKEN")
		}},
}

// flood sends lines with a token and returns which replies came.
func (r *raider) flood(token, lines string, want ...string) string {
	conn, err := r.welcome(token)
	if err != nil {
		return ended("", err)
	}
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, lines) }()
	return answers(conn, strings.Count(lines, "\n"), want...)
}

// tlsAttacks break handshakes.
var tlsAttacks = []*attack{
	{name: "TLS hello cut", does: "half a hello, and closes", counter: "tls_failed", log: "TLS handshake failed",
		want: closed,
		try: func(r *raider) string {
			return r.with(func(conn net.Conn) string {
				hello := r.s.raids.helpers.hello
				_, _ = conn.Write(hello[:10+r.chance.IntN(len(hello)-20)])
				_ = conn.(*net.TCPConn).CloseWrite()
				return rest(conn)
			})
		}},
	{name: "TLS left", does: "a hello, and a reset at the answer", counter: "tls_failed", log: "TLS handshake failed",
		want: "a TLS handshake, left",
		try: func(r *raider) string {
			return r.with(func(conn net.Conn) string {
				_, _ = conn.Write(r.s.raids.helpers.hello)
				p := make([]byte, 5)
				if _, err := io.ReadFull(conn, p); err != nil {
					return ended("", err)
				}
				_ = conn.(*net.TCPConn).SetLinger(0)
				return strings.Replace(ended(string(p), nil), "closed", "left", 1)
			})
		}},
	{name: "TLS hangs", does: "a hello, and nothing more", counter: "tls_failed", log: "TLS handshake failed",
		reason: "not complete within",
		want:   "(a TLS handshake, )?" + closed,
		try:    func(r *raider) string { return r.says(string(r.s.raids.helpers.hello)) }},
	{name: "TLS 1.1", does: "a handshake of an old version", counter: "tls_failed", log: "TLS handshake failed",
		want: "remote error: tls: protocol version not supported",
		try: func(r *raider) string {
			return r.over(upTo(as(nil), tls.VersionTLS11), func(net.Conn) string { return "TLS 1.1" })
		}},
	{name: "TLS garbage", does: "a record of noise", counter: "tls_failed", log: "TLS handshake failed",
		want: "a TLS alert, " + closed,
		try:  func(r *raider) string { return r.says("\x16\x03\x01\x00\x80" + strings.Repeat("\x01\xfe", 64)) }},
}
