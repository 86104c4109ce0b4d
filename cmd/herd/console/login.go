package console

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"serverherd/cmd/herd/console/door"
	"serverherd/cmd/herd/console/site"
	"serverherd/protocol"
)

// LoginAnswer is the answer of /login to a request in JSON.
type LoginAnswer struct {
	Name   string `json:"name"`   // of the token
	Rights string `json:"rights"` // such as "console, operate"
}

// refuse answers a request that may not go on. A browser that opens the page without a login gets the form for it.
func (c *console) refuse(w http.ResponseWriter, r *http.Request, refused *door.Refusal) {
	if refused.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", refused.Challenge())
	}
	if refused.Cookie != nil {
		http.SetCookie(w, refused.Cookie)
	}
	switch {
	case r.URL.Path != "/" || c.Pages == nil || !acceptsHTML(r):
		fail(w, refused.Status, refused.Text)
	case refused.Cookie != nil && c.Door.Open(r): // the page may be loaded without the cookie
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
	case refused.Status == http.StatusUnauthorized:
		problem := refused.Text
		if refused.Cookie == nil {
			problem = "" // nobody has logged in yet
		}
		c.loginPage(w, r, refused.Status, problem)
	default:
		fail(w, refused.Status, refused.Text)
	}
}

func acceptsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// loginPage sends the form for a token, and why it was refused.
func (c *console) loginPage(w http.ResponseWriter, r *http.Request, status int, problem string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", site.LoginPolicy)
	// With no-referrer, browsers send the form with Origin: null.
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(site.Login(c.Config.Herd.Name, c.Name, problem))
	}
}

// login is /login: who sends a token in JSON or by the form gets a cookie instead. A form is answered with the page.
func (c *console) login(w http.ResponseWriter, r *http.Request) {
	token, form, err := loginToken(r)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		fail(w, status, `want {"token":"..."}, or a form with the field token`)
		return
	}
	cookie, t, refused := c.Door.Login(r, token)
	switch {
	case refused != nil && form:
		c.loginPage(w, r, refused.Status, refused.Text)
	case refused != nil:
		c.refuse(w, r, refused)
	case form:
		http.SetCookie(w, cookie)
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
	default:
		http.SetCookie(w, cookie)
		c.answer(w, r, LoginAnswer{t.Name, t.Rights.String()})
	}
}

// loginToken reads the token of a login. An error has no text of the request.
func loginToken(r *http.Request) (token string, form bool, err error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form = kind == "application/x-www-form-urlencoded"
	if !form && !isJSON(r) {
		return "", false, errors.New("neither JSON nor a form")
	}
	text, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
	case form:
		var fields url.Values
		if fields, err = url.ParseQuery(string(text)); err == nil && !fields.Has("token") {
			err = errors.New("no token")
		}
		token = fields.Get("token")
	default:
		var body struct {
			Token *string `json:"token"`
		}
		if err = json.Unmarshal(text, &body); err == nil && body.Token == nil {
			err = errors.New("no token")
		} else if err == nil {
			token = *body.Token
		}
	}
	if len(token) > protocol.MaxToken {
		token = "" // no token is so long: it is unknown
	}
	return token, form, err
}

// logout is /logout: it ends the login of the cookie. A form is answered with the page.
func (c *console) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, c.Door.Logout(r))
	if acceptsHTML(r) {
		w.Header().Set("Location", "/")
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	c.answer(w, r, struct{}{})
}
