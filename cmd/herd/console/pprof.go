package console

import (
	"net/http"
	"net/http/pprof"

	"serverherd/cmd/herd/console/door"
)

// profiles are the routes of /debug/pprof. A profile may contain ids of clients, and may take long.
func profiles() (all []route) {
	for _, one := range []struct {
		path    string
		handler http.HandlerFunc
	}{
		{"cmdline", pprof.Cmdline},
		{"profile", pprof.Profile},
		{"symbol", pprof.Symbol},
		{"trace", pprof.Trace},
		{"", pprof.Index}, // and all profiles by name
	} {
		methods := []string{http.MethodGet, http.MethodHead, http.MethodPost}
		all = append(all, route{"/debug/pprof/" + one.path, methods, door.Profile, stream, one.handler})
	}
	return all
}
