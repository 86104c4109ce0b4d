package console

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"serverherd/cmd/herd/console/door"
	"serverherd/herd"
)

// route is an endpoint. A path may have several, with other methods.
type route struct {
	path    string     // exact; with a slash at its end, except "/" itself, everything below
	methods []string   // others get 405
	right   door.Right // that a request needs
	class   class      // which limit applies to it
	handler http.HandlerFunc
}

// routes is the table of all endpoints.
func (c *console) routes() []route {
	get := []string{http.MethodGet, http.MethodHead}
	post := []string{http.MethodPost}
	all := []route{
		{"/healthz", get, door.Health, check, c.healthz},
		{"/livez", get, door.Health, check, c.livez},
		{"/readyz", get, door.Health, check, c.readyz},
		{"/status.json", get, door.Console, page, plain(c.status)},
		{"/metrics", get, door.Console, page, plain(c.metrics)},
		{"/client.json", get, door.Console, page, c.client},
		{"/trace.json", get, door.Console, page, c.trace},
		{"/events", get, door.Console, page, c.events},
		{"/clients.ndjson", []string{http.MethodGet}, door.Console, stream, c.clients},
	}
	if c.herdWide != nil {
		all = append(all, route{"/herd.json", get, door.Console, page, plain(c.herd)}, route{"/flood.json", get, door.Console, page, c.flood})
	}
	if c.herdWide != nil && c.Pages != nil {
		all = append(all,
			route{"/", get, door.Console, page, plain(c.Pages.files.ServeHTTP)},
			route{"/page/", get, door.Console, page, plain(c.Pages.files.ServeHTTP)},
			route{"/ws", []string{http.MethodGet}, door.Console, stream, plain(c.ws)},
			route{"/send", post, door.Operate, page, plain(c.send)},
			route{"/login", post, door.Enter, page, plain(c.login)},
			route{"/logout", post, door.Enter, page, plain(c.logout)})
	}
	if c.Reload != nil {
		all = append(all, route{"/reload", post, door.Operate, page, plain(c.reload)})
	}
	if c.Log != nil {
		all = append(all, route{"/loglevel", get, door.Console, page, plain(c.logLevel)},
			route{"/loglevel", []string{http.MethodPut}, door.Operate, page, plain(c.setLogLevel)})
	}
	if c.Follower != nil {
		all = append(all, route{"/watch", []string{http.MethodGet}, door.Console, stream, c.watch})
	}
	if c.Pprof {
		all = append(all, profiles()...)
	}
	return all
}

// isJSON reports whether a request says that its body is JSON.
func isJSON(r *http.Request) bool {
	kinds := r.Header.Values("Content-Type")
	if len(kinds) != 1 {
		return false
	}
	kind, _, err := mime.ParseMediaType(kinds[0])
	return err == nil && kind == "application/json"
}

// serve returns the handler for all routes. It answers all that no route is for with an error in JSON.
func (c *console) serve(routes []route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		safe(w.Header())
		i := slices.IndexFunc(routes, func(one route) bool { return one.matches(r.URL.Path) })
		if i < 0 || routes[i].right != door.Health {
			if refused := c.Door.Knock(r); refused != nil {
				c.refuse(w, r, refused)
				return
			}
		}
		if i < 0 {
			fail(w, http.StatusNotFound, "no such path; there are "+paths(routes))
			return
		}
		one, methods := choose(routes[i:], r)
		if one == nil {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			fail(w, http.StatusMethodNotAllowed, "the method must be "+strings.Join(methods, " or "))
			return
		}
		r, leave, refused := c.Door.Admit(r, one.right)
		if refused != nil {
			c.refuse(w, r, refused)
			return
		}
		defer leave()
		one.serve(w, r)
	})
}

// choose returns the route for a request's path and method; nil, and the methods that there are, if there is none.
func choose(routes []route, r *http.Request) (one *route, methods []string) {
	for i := range routes {
		if !routes[i].matches(r.URL.Path) {
			continue
		}
		if slices.Contains(routes[i].methods, r.Method) {
			return &routes[i], nil
		}
		methods = append(methods, routes[i].methods...)
	}
	return nil, methods
}

// safe sets the headers of every answer, whatever it is; the files of the page have some of their own. Ids in an answer are
// never HTML, and no other site may show or load an answer. Strict-Transport-Security is not among them, also over TLS: a
// browser would apply it to every port of the host, so to consoles and other programs there that have no TLS.
func safe(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// paths lists the paths of routes, but those below /debug/pprof/.
func paths(routes []route) string {
	var all []string
	for _, one := range routes {
		if !strings.HasPrefix(one.path, "/debug/pprof/") || one.path == "/debug/pprof/" {
			all = append(all, one.path)
		}
	}
	all = slices.Compact(all)
	return strings.Join(all, ", ")
}

// plain is the handler of a path without parameters.
func plain(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := query(r); err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		next(w, r)
	}
}

func (one route) matches(path string) bool {
	return path == one.path || len(one.path) > 1 && strings.HasSuffix(one.path, "/") && strings.HasPrefix(path, one.path)
}

// serve calls the handler within the limits of its class.
func (one route) serve(w http.ResponseWriter, r *http.Request) {
	if c := connOf(r); c != nil && one.class != check {
		if !c.begin(one.class) {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Connection", "close")
			fail(w, http.StatusServiceUnavailable, "too many requests at once")
			return
		}
		defer c.end()
	}
	if one.path != "/send" { // which has a limit of its own
		r.Body = http.MaxBytesReader(w, r.Body, herd.ConsoleBody)
	}
	one.handler(w, r)
}
