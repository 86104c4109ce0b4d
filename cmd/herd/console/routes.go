package console

import (
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"

	"serverherd/herd/config"
)

// route is an endpoint.
type route struct {
	path    string   // exact; with a slash at its end, except "/" itself, everything below
	methods []string // others get 405
	right   right    // that a request needs
	class   class    // which limit applies to it
	handler http.HandlerFunc
}

// routes is the table of all endpoints.
func (c *console) routes() []route {
	get := []string{http.MethodGet, http.MethodHead}
	all := []route{
		{"/healthz", get, health, check, c.healthz},
		{"/readyz", get, health, check, c.readyz},
		{"/status.json", get, health, page, plain(c.status)},
		{"/metrics", get, health, page, plain(c.metrics)},
		{"/client.json", get, read, page, c.client},
		{"/trace.json", get, read, page, c.trace},
		{"/events", get, read, page, c.events},
		{"/clients.ndjson", []string{http.MethodGet}, read, stream, c.clients},
	}
	if c.herdWide != nil {
		all = append(all, route{"/herd.json", get, health, page, plain(c.herd)}, route{"/flood.json", get, read, page, c.flood})
	}
	if c.herdWide != nil && c.Pages != nil {
		all = append(all,
			route{"/", get, read, page, plain(c.Pages.files.ServeHTTP)},
			route{"/page/", get, read, page, plain(c.Pages.files.ServeHTTP)},
			route{"/ws", []string{http.MethodGet}, read, stream, plain(c.ws)},
			route{"/send", []string{http.MethodPost}, operate, page, plain(c.send)})
	}
	if c.Follower != nil {
		all = append(all, route{"/watch", []string{http.MethodGet}, read, stream, c.watch})
	}
	if c.Pprof {
		all = append(all, profiles()...)
	}
	return all
}

// right is what a request wants to do.
type right int

const (
	health  right = iota // see whether servers are well; nothing about clients
	read                 // see where clients are
	operate              // change something
)

// allow reports whether a request has a right. Every request is asked about here, before its handler runs. Health
// is open to whoever reaches the console's address. Requests from loopback may read. Only a page of this console, in a
// browser on this machine, may operate: another site's page has another Origin, or cannot send JSON unasked.
func allow(r *http.Request, want right) bool {
	switch want {
	case health:
		return true
	case read:
		return config.IsLoopback(r.RemoteAddr)
	case operate:
		return config.IsLoopback(r.RemoteAddr) && r.Header.Get("Origin") != "" && sameOrigin(r) && isJSON(r)
	}
	return false
}

// denied is the error of a request without a right.
var denied = [...]string{
	health: "not allowed", read: "not allowed from this address",
	operate: "not allowed: only the page of this console, opened on this machine, may do this, with Content-Type application/json",
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
func serve(routes []route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff") // ids in an answer are never HTML
		i := slices.IndexFunc(routes, func(one route) bool { return one.matches(r.URL.Path) })
		if i < 0 {
			fail(w, http.StatusNotFound, "no such path; there are "+paths(routes))
			return
		}
		one := routes[i]
		switch {
		case !slices.Contains(one.methods, r.Method):
			w.Header().Set("Allow", strings.Join(one.methods, ", "))
			fail(w, http.StatusMethodNotAllowed, "the method must be "+strings.Join(one.methods, " or "))
		case !allow(r, one.right):
			fail(w, http.StatusForbidden, denied[one.right])
		default:
			one.serve(w, r)
		}
	})
}

// paths lists the paths of routes, but those below /debug/pprof/.
func paths(routes []route) string {
	var all []string
	for _, one := range routes {
		if !strings.HasPrefix(one.path, "/debug/pprof/") || one.path == "/debug/pprof/" {
			all = append(all, one.path)
		}
	}
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
	one.handler(w, r)
}

// local rejects requests to a loopback address with another Host: it prevents DNS rebinding, by which a web
// page could read the console.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		named := r.Host != "" || r.ProtoAtLeast(1, 1) // health checkers with HTTP/1.0 name no host, browsers always do
		if bound != nil && config.IsLoopback(bound.String()) && named && !isLocal(r.Host) {
			fail(w, http.StatusForbidden, "this console accepts requests for localhost only")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host header, with or without a port, is localhost or a loopback address.
func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") || ip != nil && ip.IsLoopback()
}
