package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"serverherd/cmd/herd/client"
	"serverherd/cmd/herd/console/door"
	"serverherd/herd"
	"serverherd/herd/config"
	"serverherd/protocol"
)

// SendRequest is the body of a POST to /send.
type SendRequest struct {
	Server string `json:"server"` // its name in herd.toml
	Line   string `json:"line"`   // an IAMAT or a WHATSAT
}

// SendAnswer is the answer of /send.
type SendAnswer struct {
	Server  string  `json:"server"`
	Line    string  `json:"line"`
	OK      bool    `json:"ok"`      // the reply is not an error
	Reply   string  `json:"reply"`   // without LFs at its end; U+FFFD in place of bytes that are not UTF-8
	Seconds float64 `json:"seconds"` // from the line to its reply
}

// send is /send: it sends one line to a server's client port, as a client does that has the token of the request, and
// answers with the reply. The line may be for any server of herd.toml, at its address there. Nothing of it runs on the
// loop.
func (c *console) send(w http.ResponseWriter, r *http.Request) {
	select {
	case c.sends <- struct{}{}:
		defer func() { <-c.sends }()
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "too many lines are being sent at once")
		return
	}
	if !isJSON(r) {
		fail(w, http.StatusUnsupportedMediaType, "the Content-Type must be application/json")
		return
	}
	request, status, err := c.sendRequest(w, r)
	if err != nil {
		fail(w, status, err.Error())
		return
	}
	// Beyond the limits of net/http: the context ends when the browser leaves, and not before.
	response := http.NewResponseController(w)
	_ = response.SetReadDeadline(time.Time{})
	_ = response.SetWriteDeadline(time.Time{})
	answer, err := c.ask(r.Context(), request, door.Of(r).Token)
	_ = response.SetWriteDeadline(time.Now().Add(writeTimeout))
	late, refused := &client.TimeoutError{}, &client.RefusedError{}
	switch {
	case errors.As(err, &refused) && refused.Token:
		fail(w, http.StatusForbidden, request.Server+": "+refused.Error())
	case errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, fmt.Sprintf("%s: no reply within %v", request.Server, c.sendTimeout))
	case err != nil:
		fail(w, http.StatusBadGateway, request.Server+": "+protocol.Escape([]byte(short(err.Error()))))
	default:
		c.answer(w, r, answer)
	}
}

// sendRequest reads a request. An error has an HTTP status.
func (c *console) sendRequest(w http.ResponseWriter, r *http.Request) (request SendRequest, status int, err error) {
	most := int64(2*c.Config.Limits.MaxLine + 1024) // escapes and all
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	switch {
	case err != nil:
	case !utf8.Valid(text): // the decoder would change the line
		err = errors.New("not UTF-8")
	default:
		if err = d.Decode(&request); err == nil && d.Decode(new(any)) != io.EOF {
			err = errors.New("more than one value")
		}
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return request, http.StatusRequestEntityTooLarge, fmt.Errorf("the request is longer than %d bytes", most)
	}
	if err != nil {
		return request, http.StatusBadRequest, fmt.Errorf(`want {"server":"NAME","line":"IAMAT ..."}: %w`, err)
	}
	if _, ok := c.server(request.Server); !ok {
		return request, http.StatusNotFound, fmt.Errorf("no server %.64q in herd.toml", request.Server)
	}
	return request, http.StatusBadRequest, checkLine(request.Line, c.Config.Limits.MaxLine)
}

// checkLine returns an error if a text is not one IAMAT or WHATSAT: others, such as HELLO, are not for the page.
func checkLine(line string, most int) error {
	verb := client.Verb(line)
	switch {
	case verb != "IAMAT" && verb != "WHATSAT":
		return errors.New("the line must begin with IAMAT or WHATSAT")
	case len(line) > most:
		return fmt.Errorf("the line has %d bytes; servers accept at most %d (limits.max_line)", len(line), most)
	case slices.ContainsFunc([]byte(line), func(b byte) bool { return b < ' ' || b == 0x7f }):
		return errors.New("the line contains a control character")
	}
	return nil
}

// server returns the server of herd.toml with a name.
func (c *console) server(name string) (config.Server, bool) {
	i := slices.IndexFunc(c.Config.Servers, func(s config.Server) bool { return s.Name == name })
	if i < 0 {
		return config.Server{}, false
	}
	return c.Config.Servers[i], true
}

// ask sends a line on a connection of its own, which shows a token if there is one.
func (c *console) ask(ctx context.Context, request SendRequest, token string) (answer SendAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.sendTimeout)
	defer cancel()
	dialect, err := protocol.ParseDialect(c.Config.Herd.Dialect)
	if err != nil {
		return answer, err
	}
	if token != "" {
		if err := client.CheckToken(token); err != nil {
			return answer, err
		}
	}
	s, _ := c.server(request.Server)
	var secure *tls.Config
	if c.Config.Clients.TLS == "required" {
		secure = c.ClientTLS(s.Name)
	}
	conn, err := client.Dial(ctx, s.Address, client.Options{
		Dialect: dialect, Timeout: c.sendTimeout, MaxReply: herd.ConsoleSendReply, Token: token, TLS: secure,
	})
	if err != nil {
		return answer, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	begun := time.Now()
	reply, err := conn.Ask(request.Line)
	if ctx.Err() != nil {
		return answer, ctx.Err()
	}
	if err != nil {
		return answer, err
	}
	return SendAnswer{s.Name, request.Line, !client.Refused(reply), reply, time.Since(begun).Seconds()}, nil
}
