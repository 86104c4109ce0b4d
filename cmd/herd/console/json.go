package console

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"serverherd/cmd/herd/view"
	"serverherd/protocol"
)

// answer sends a value as JSON.
func (c *console) answer(w http.ResponseWriter, r *http.Request, v any) {
	var text bytes.Buffer
	if !c.encode(r, func() {
		e := view.NewJSON(&text)
		e.SetIndent("", "  ")
		_ = e.Encode(v)
	}) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text.Bytes())
}

// encode calls f, which encodes an answer, when few others are being encoded: goroutines that use the processor for
// milliseconds, and as many as there are cores, would keep the loop from running. It reports false if the request ends
// first.
func (c *console) encode(r *http.Request, f func()) bool {
	select {
	case c.encoders <- struct{}{}:
		f()
		<-c.encoders
		return true
	case <-r.Context().Done():
		return false
	}
}

// fail sends an error: its status and {"error":"..."}.
func fail(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = view.NewJSON(w).Encode(map[string]string{"error": text})
}

// ClientID is how every answer names a client: its id may be any bytes, so it is there twice.
type ClientID struct {
	ID     string `json:"id"`     // escaped: safe for a terminal, see protocol.Escape
	Base64 []byte `json:"id_b64"` // the bytes
}

func clientID(id []byte) ClientID { return ClientID{protocol.Escape(id), slices.Clone(id)} }

// query returns the parameters of a request. Those named may be given once, others not at all. Values are
// percent-encoded bytes; a plus sign is itself.
func query(r *http.Request, names ...string) (map[string]string, error) {
	given := make(map[string]string)
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if pair == "" {
			continue
		}
		name, text, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(text)
		_, twice := given[name]
		switch {
		case !slices.Contains(names, name):
			return nil, fmt.Errorf("unknown parameter %.64q; known: %s", name, cmp.Or(strings.Join(names, ", "), "none"))
		case err != nil:
			return nil, fmt.Errorf("%s: %w", name, err)
		case twice:
			return nil, fmt.Errorf("%s is given twice", name)
		}
		given[name] = value
	}
	return given, nil
}

// queryID returns the parameter id of a request: a client's.
func queryID(given map[string]string) ([]byte, error) {
	id, ok := given["id"]
	if !ok {
		return nil, fmt.Errorf("id is missing")
	}
	if err := protocol.CheckClientID([]byte(id)); err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	return []byte(id), nil
}

// onlyID returns the id of a request that has no other parameter. If there is an error, it answers with it.
func onlyID(w http.ResponseWriter, r *http.Request) (id []byte, ok bool) {
	given, err := query(r, "id")
	if err == nil {
		id, err = queryID(given)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
	}
	return id, err == nil
}
