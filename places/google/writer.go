package google

import "encoding/json"

// writer writes the members of a result. After an error its text is not used.
type writer struct {
	text []byte
	err  error
}

// member appends a member to the innermost open object.
func (w *writer) member(name string, value json.RawMessage) {
	w.name(name)
	w.text = append(w.text, value...)
}

func (w *writer) name(name string) {
	if w.text[len(w.text)-1] != '{' {
		w.text = append(w.text, ',')
	}
	w.text = append(append(append(w.text, '"'), name...), `":`...)
}

func (w *writer) open(name string) { w.name(name); w.text = append(w.text, '{') }
func (w *writer) close()           { w.text = append(w.text, '}') }

// inner appends members of the object value under other names. Names are pairs of old and new names. In is
// the name of the object to put them into; "" for the current one.
func (w *writer) inner(in string, value json.RawMessage, o object, names ...string) {
	of, _, err := o.known(value)
	if err != nil {
		w.err = err
		return
	}
	before := len(w.text)
	if in != "" {
		w.open(in)
	}
	empty := true
	for i := 0; i < len(names); i += 2 {
		if v, there := of[names[i]]; there {
			// #nosec G602 -- names are pairs
			w.member(names[i+1], v)
			empty = false
		}
	}
	switch {
	case empty:
		w.text = w.text[:before]
	case in != "":
		w.close()
	}
}

// geometry appends location and viewport, if present.
func (w *writer) geometry(of map[string]json.RawMessage) {
	location, located := of["location"]
	viewport, framed := of["viewport"]
	if !located && !framed {
		return
	}
	w.open("geometry")
	if located {
		w.point("location", location)
	}
	if framed {
		corners, _, err := viewObject.known(viewport)
		if err != nil {
			w.err = err
			return
		}
		w.open("viewport")
		for _, c := range [][2]string{{"high", "northeast"}, {"low", "southwest"}} {
			if corner, there := corners[c[0]]; there {
				w.point(c[1], corner)
			}
		}
		w.close()
	}
	w.close()
}

// point appends a position. The new API omits a coordinate of zero, as JSON of protocol buffers does.
// https://protobuf.dev/programming-guides/json/
func (w *writer) point(name string, value json.RawMessage) {
	of, _, err := pointObject.known(value)
	if err != nil {
		w.err = err
		return
	}
	w.open(name)
	for _, c := range [][2]string{{"latitude", "lat"}, {"longitude", "lng"}} {
		degrees, there := of[c[0]]
		if !there {
			degrees = json.RawMessage("0")
		}
		w.member(c[1], degrees)
	}
	w.close()
}
