// Package ask is the client side of the consoles: it asks all servers of herd.toml at once. The commands use
// it, and a console that aggregates the herd.
//
// A console may be anything that listens at its address. So an answer is bounded in time and size, is never
// decompressed, must be JSON that names the expected server, and redirects are not followed. Proxy settings
// of the environment are ignored. The strings in an answer and in an error are as hostile as the console:
// see view.Cell.
package ask

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"serverherd/cmd/herd/certs"
	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

const (
	// elementSize divides Options.MaxAnswer: the number of commas that an answer may have. Without such a
	// limit, an answer of "{},{},{}" would become a hundred times its size in memory.
	elementSize = 16
	// maxHeader is the size of an answer's header.
	maxHeader = 64 << 10
	// maxReason is the size of the body of an answer that is an error.
	maxReason = 4 << 10
	// maxError is the size of Answer.Error, which may contain text of the answer.
	maxError = 300
)

// noConsole is the error of a server without a console.
const noConsole = "no console in herd.toml"

// Options configure a Client.
type Options struct {
	Timeout   time.Duration // of each server's answer; 0: herd.ConsoleAskTimeout
	MaxAnswer int           // bytes; 0: herd.ConsoleAnswer
	// Token is sent to the consoles, which must be those of the herd: whoever answers in their place learns it. Without
	// it, Secret, that of the herd, signs the requests, see access.Sign; it is not sent. Both may be empty.
	Token, Secret string
	TLS           TLS
	Advice        string // follows the error of a console that does not let the asker in: 401 or 403
}

// TLS says how consoles are asked: its zero value, and mode off, without TLS.
type TLS struct {
	Mode string // one of config.TLSModes; optional: without, if the console has none
	// Config is for the console of a server.
	Config func(server string) *tls.Config
}

// schemes are tried in this order.
func (t TLS) schemes() []string {
	switch t.Mode {
	case "required":
		return []string{"https"}
	case "optional":
		return []string{"https", "http"}
	}
	return []string{"http"}
}

// serverKey is the key of a server's name in the context of a request.
type serverKey struct{}

// dial connects to a console over TLS.
func (t TLS) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	name, _ := ctx.Value(serverKey{}).(string)
	over := tls.Client(c, t.Config(name))
	if err := over.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, &certs.HandshakeError{Reason: err, Console: true}
	}
	return over, nil
}

// Client asks consoles. Any goroutine may use it.
type Client struct {
	http http.Client
	o    Options
}

// New returns a client.
func New(o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = herd.ConsoleAskTimeout
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = herd.ConsoleAnswer
	}
	return &Client{o: o, http: http.Client{
		Transport: &http.Transport{ // Proxy is nil
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			DialTLSContext: o.TLS.dial,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Answer is what one server's console answered.
type Answer[T any] struct {
	Server    string
	NoConsole bool   // none in herd.toml
	Error     string // why Value is nil
	Code      int    // of HTTP; 0 if there was no answer in time
	Reason    string // the text of an answer that is an error
	Value     *T
}

// All asks all servers concurrently for a path, with or without a query, such as "/trace.json?id=kiwi". The
// answers are in the order of the servers.
func All[T any](ctx context.Context, c *Client, servers []config.Server, path string) []Answer[T] {
	return Each(servers, func(s config.Server) Answer[T] { return One[T](ctx, c, s, path) })
}

// Each calls f for all servers concurrently and returns the results in their order.
func Each[T any](servers []config.Server, f func(config.Server) T) []T {
	all := make([]T, len(servers))
	var group sync.WaitGroup
	for i, s := range servers {
		group.Go(func() { all[i] = f(s) })
	}
	group.Wait()
	return all
}

// One asks one server.
func One[T any](ctx context.Context, c *Client, s config.Server, path string) Answer[T] {
	return answerOf[T](ctx, c, s, question{http.MethodGet, path, nil})
}

// Change sends one server a request that changes something, with a body of JSON; nil: without one. By the secret of the
// herd one may only read, so it is not used.
func Change[T any](ctx context.Context, c *Client, s config.Server, method, path string, body []byte) Answer[T] {
	return answerOf[T](ctx, c, s, question{method, path, body})
}

// question is a request.
type question struct {
	method, path string
	body         []byte
}

func answerOf[T any](ctx context.Context, c *Client, s config.Server, q question) Answer[T] {
	a := Answer[T]{Server: s.Name}
	if s.Console == "" {
		a.NoConsole, a.Error = true, noConsole
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	r, err := c.get(ctx, s, q)
	a.Code = code(r)
	if err == nil {
		defer r.Body.Close()
		a.Value, err = decode[T](r.Body, s, c.o.MaxAnswer)
		if late := c.timely(ctx, s, err); late != err {
			a.Code, err = 0, late
		}
	}
	if err != nil {
		a.Error = bounded(err.Error())
		var answered *statusError
		if errors.As(err, &answered) {
			a.Reason = bounded(answered.reason)
		}
	}
	return a
}

// Open asks one server for a stream, such as "/watch". Options.Timeout bounds the time until it begins. Its
// length, duration and content are up to the caller, who closes it.
func (c *Client) Open(ctx context.Context, s config.Server, path string) (io.ReadCloser, error) {
	if s.Console == "" {
		return nil, errors.New(noConsole)
	}
	begun, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.o.Timeout, func() { cancel(context.DeadlineExceeded) })
	r, err := c.get(begun, s, question{http.MethodGet, path, nil})
	if !timer.Stop() && err == nil { // the answer came as the time was over: its body is canceled
		r.Body.Close()
		err = c.timely(begun, s, context.DeadlineExceeded)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return stream{r.Body, cancel}, nil
}

// stream is an answer that is read as it comes.
type stream struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (s stream) Close() error {
	s.cancel(nil)
	return s.ReadCloser.Close()
}

// get returns the answer to a question. It returns an error if the status is not 200, also with the response then.
func (c *Client) get(ctx context.Context, s config.Server, q question) (*http.Response, error) {
	r, err := c.do(ctx, s, q)
	if err == nil && r.StatusCode != http.StatusOK {
		defer r.Body.Close()
		answered := &statusError{r.StatusCode, r.Status, s.Console, reason(r.Body), ""}
		switch {
		case Refused(answered):
			answered.advice = c.o.Advice
		case answered.reason == "" && c.mayNeedTLS(r.StatusCode):
			answered.advice = needsTLS
		}
		err = answered
	}
	return r, err
}

// needsTLS is the advice for who asks without TLS.
const needsTLS = "does it need TLS? Set [console] tls"

// mayNeedTLS reports whether a status is that of a console that requires TLS, for a request without.
func (c *Client) mayNeedTLS(status int) bool {
	return status == http.StatusBadRequest && c.o.TLS.schemes()[0] == "http"
}

// do sends a question.
func (c *Client) do(ctx context.Context, s config.Server, q question) (r *http.Response, err error) {
	for _, scheme := range c.o.TLS.schemes() {
		in := context.WithValue(ctx, serverKey{}, s.Name)
		request, err := http.NewRequestWithContext(in, q.method, scheme+"://"+s.Console+q.path, bytes.NewReader(q.body))
		if err != nil {
			return nil, err
		}
		if q.body != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		c.authorize(request, s)
		r, err = c.http.Do(request)
		failed, ofTLS := errors.AsType[*certs.HandshakeError](err)
		switch {
		case err == nil:
			return r, nil
		case ofTLS && failed.NoTLS() && c.o.TLS.Mode == "optional":
			continue
		}
		if late := c.timely(ctx, s, err); late != err {
			return nil, late
		}
		if ofTLS {
			return nil, fmt.Errorf("console at %s: %w", s.Console, failed)
		}
		break
	}
	return nil, fmt.Errorf("no answer at %s", s.Console)
}

// authorize says who asks. To change something on loopback takes the Origin of a page of the console: a browser lets no page
// of another site send it, and every other program of the machine may do what the page may.
func (c *Client) authorize(r *http.Request, s config.Server) {
	changes := r.Method != http.MethodGet
	if changes && config.IsLoopback(s.Console) {
		r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
	}
	switch {
	case c.o.Token != "":
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	case c.o.Secret != "" && !changes:
		var nonce access.Nonce
		_, _ = rand.Read(nonce[:]) // never fails, says crypto/rand
		q := access.Question{Server: s.Name, Method: r.Method, Target: r.URL.RequestURI()}
		r.Header.Set("Authorization", access.Sign(c.o.Secret, q, time.Now(), nonce))
	}
}

// timely replaces an error that was caused by the end of ctx.
func (c *Client) timely(ctx context.Context, s config.Server, err error) error {
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), context.Canceled):
		return errors.New("canceled")
	case ctx.Err() != nil, errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("no answer at %s within %s", s.Console, c.o.Timeout)
	}
	return err
}

// statusError is an answer whose status is not 200.
type statusError struct {
	code                            int
	status, console, reason, advice string
}

// Refused reports whether an error of Open means that the console does not let the asker in, which remains if it is
// tried again.
func Refused(err error) bool {
	answered, ok := errors.AsType[*statusError](err)
	return ok && (answered.code == http.StatusUnauthorized || answered.code == http.StatusForbidden)
}

func (e *statusError) Error() string {
	text := e.status + " from " + e.console
	if e.reason != "" {
		text += ": " + e.reason
	}
	if e.advice != "" {
		text += "; " + e.advice
	}
	return text
}

// reason is the text of an error, {"error": "..."}; "" if the answer has another form.
func reason(body io.Reader) string {
	var e struct{ Error string }
	text, err := io.ReadAll(io.LimitReader(body, maxReason))
	if err != nil || json.Unmarshal(text, &e) != nil {
		return ""
	}
	return e.Error
}

// bounded truncates an error's text.
func bounded(text string) string {
	if len(text) > maxError {
		text = text[:maxError] + "..."
	}
	return strings.ToValidUTF8(text, "?")
}

// code is a response's status; 0 if there is none.
func code(r *http.Response) int {
	if r == nil {
		return 0
	}
	return r.StatusCode
}

// decode reads an answer, which must be an object with the name of the server.
func decode[T any](body io.Reader, s config.Server, most int) (*T, error) {
	text, err := io.ReadAll(io.LimitReader(body, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("console at %s: %w", s.Console, err)
	}
	if len(text) > most {
		return nil, fmt.Errorf("console at %s: the answer is longer than %d bytes", s.Console, most)
	}
	if commas(text) > most/elementSize {
		return nil, fmt.Errorf("console at %s: the answer has more than %d elements", s.Console, most/elementSize)
	}
	var from struct{ Server string }
	var value T
	for _, v := range []any{&from, &value} {
		if err := json.Unmarshal(text, v); err != nil {
			return nil, fmt.Errorf("console at %s: %w", s.Console, err)
		}
	}
	switch from.Server {
	case s.Name:
		return &value, nil
	case "":
		return nil, fmt.Errorf("console at %s: the answer does not name its server", s.Console)
	}
	return nil, fmt.Errorf("the console at %s belongs to %s", s.Console, from.Server)
}

// commas counts the commas outside strings.
func commas(text []byte) (n int) {
	for len(text) > 0 {
		i := bytes.IndexAny(text, `,"`)
		if i < 0 {
			return n
		}
		quote := text[i] == '"'
		text = text[i+1:]
		if !quote {
			n++
			continue
		}
		for len(text) > 0 { // to the end of the string
			i = bytes.IndexAny(text, `\"`)
			if i < 0 {
				return n
			}
			if text[i] == '"' {
				text = text[i+1:]
				break
			}
			text = text[min(len(text), i+2):]
		}
	}
	return n
}
