package viewer

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"serverherd/protocol"
)

func idRequest(id string) string {
	return fmt.Sprintf(`{"type":"client","id_b64":%q}`, base64.StdEncoding.EncodeToString([]byte(id)))
}

func TestParseRequest(t *testing.T) {
	longest := strings.Repeat("é", protocol.MaxClientID/2)
	for text, want := range map[string]Request{
		`{"type":"dots","on":true}`:                         {Type: "dots", On: true},
		` {"on":false , "type":"dots"} `:                    {Type: "dots"},
		`{"type":"flights","on":true}`:                      {Type: "flights", On: true},
		`{"type":"client"}`:                                 {Type: "client"},
		`{"type":"client","id_b64":null}`:                   {Type: "client"},
		idRequest("kiwi"):                                   {Type: "client", ID: []byte("kiwi")},
		idRequest("\x00\xff\xfe<img src=x>"[:7]):            {Type: "client", ID: []byte("\x00\xff\xfe<img")},
		idRequest(longest):                                  {Type: "client", ID: []byte(longest)},
		`{"type":"name","generation":0,"slot":0}`:           {Type: "name"},
		`{"type":"name","generation":4294967295,"slot":17}`: {Type: "name", Generation: 1<<32 - 1, Slot: 17},
	} {
		if got, err := ParseRequest([]byte(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		``, ` `, `null`, `7`, `"dots"`, `[]`, `{}`, `{"type":null}`, `{"type":7}`, `{"type":""}`, `{"type":"herd"}`, `{"on":true}`,
		`{"type":"dots"}`, `{"type":"dots","on":null}`, `{"type":"dots","on":1}`, `{"type":"dots","on":"true"}`,
		`{"type":"dots","on":true,"slot":7}`, `{"type":"dots","on":true,"id_b64":""}`, `{"type":"dots","on":true,"more":7}`,
		`{"type":"dots","on":true}{"type":"dots","on":true}`, `{"type":"dots","on":true}x`, `{"type":"dots","on":true`,
		`{"type":"client","on":true}`, `{"type":"client","id_b64":"a2l3aQ"}`, `{"type":"client","id_b64":"a2l3-Q=="}`, `{"type":"client","id_b64":"%"}`,
		`{"type":"client","id_b64":7}`, idRequest(""), idRequest("a b"), idRequest("a\n"), idRequest(longest + "x"),
		`{"type":"name","generation":7}`, `{"type":"name","slot":7}`, `{"type":"name","generation":-1,"slot":7}`,
		`{"type":"name","generation":4294967296,"slot":7}`, `{"type":"name","generation":1,"slot":0.5}`, `{"type":"name","generation":1,"slot":7,"on":true}`,
		"{\"type\":\"dots\",\"on\":true}\xff", "{\"type\":\"\xff\"}", strings.Repeat("[", 4000),
	} {
		if got, err := ParseRequest([]byte(text)); err == nil || !reflect.DeepEqual(got, Request{}) {
			t.Errorf("%.100s: %+v, %v", text, got, err)
		} else if len(err.Error()) > 123 {
			t.Errorf("%q is no reason of a close: too long", err)
		}
	}
}

// What is accepted is a request of a known type, and nothing that the type has not.
func FuzzParseRequest(f *testing.F) {
	for _, text := range []string{`{"type":"dots","on":true}`, `{"type":"name","generation":7,"slot":17}`, idRequest("kiwi"), `{"type":"client"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRequest(text)
		if err != nil {
			if !reflect.DeepEqual(r, Request{}) || len(err.Error()) > 123 {
				t.Errorf("%q: %+v, %v", text, r, err)
			}
			return
		}
		only := Request{Type: r.Type}
		switch r.Type {
		case "dots", "flights":
			only.On = r.On
		case "client":
			only.ID = r.ID
			if r.ID != nil && protocol.CheckClientID(r.ID) != nil {
				t.Errorf("%q: id %q", text, r.ID)
			}
		case "name":
			only.Generation, only.Slot = r.Generation, r.Slot
		default:
			t.Errorf("%q: type %q", text, r.Type)
		}
		if !reflect.DeepEqual(r, only) {
			t.Errorf("%q: %+v", text, r)
		}
	})
}
