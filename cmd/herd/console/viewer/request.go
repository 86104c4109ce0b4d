package viewer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"serverherd/protocol"
)

// Request is what a page asks for.
type Request struct {
	Type       string
	On         bool   // dots, flights
	ID         []byte // client; nil: none
	Generation uint32 // name
	Slot       uint32 // name
}

// members are those of all types, as they come. A nil one is missing.
type members struct {
	Type       *string `json:"type"`
	On         *bool   `json:"on"`
	ID         *string `json:"id_b64"`
	Generation *uint32 `json:"generation"`
	Slot       *uint32 `json:"slot"`
}

// requests are the types of requests. Each takes its members and sets them to nil; false: one is missing or wrong.
var requests = map[string]func(m *members, r *Request) bool{
	"dots":    takeOn,
	"flights": takeOn,
	"client": func(m *members, r *Request) bool {
		if m.ID == nil {
			return true
		}
		var err error
		r.ID, err = base64.StdEncoding.Strict().DecodeString(*m.ID)
		m.ID = nil
		return err == nil && protocol.CheckClientID(r.ID) == nil
	},
	"name": func(m *members, r *Request) bool {
		return take(&m.Generation, &r.Generation) && take(&m.Slot, &r.Slot)
	},
}

func takeOn(m *members, r *Request) bool { return take(&m.On, &r.On) }

func take[T any](from **T, to *T) bool {
	if *from == nil {
		return false
	}
	*to, *from = **from, nil
	return true
}

// ParseRequest parses a message of a page. An error is the reason for which the connection is closed.
func ParseRequest(text []byte) (r Request, err error) {
	var m members
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if !utf8.Valid(text) || d.Decode(&m) != nil || d.Decode(new(any)) != io.EOF {
		return Request{}, errors.New("a request is a JSON object with known members of the right types")
	}
	if m.Type == nil || requests[*m.Type] == nil {
		return Request{}, errors.New("unknown type of request")
	}
	r.Type, m.Type = *m.Type, nil
	if !requests[r.Type](&m, &r) || m != (members{}) {
		return Request{}, fmt.Errorf("a request %s has other members, or other values", r.Type)
	}
	return r, nil
}
