package places

import "encoding/json"

// Summary has the parts of a result to display.
type Summary struct {
	Name     string
	Type     string // the first of its types
	Lat, Lng float64
	Located  bool // Lat and Lng are known
}

// Summarize reads the members of a Nearby Search result that both the embedded data and Google have.
// Missing members are empty. With an error it returns what could be read.
func Summarize(result json.RawMessage) (Summary, error) {
	var r struct {
		Name     string   `json:"name"`
		Types    []string `json:"types"`
		Geometry struct {
			Location struct{ Lat, Lng *float64 } `json:"location"`
		} `json:"geometry"`
	}
	err := json.Unmarshal(result, &r)
	s := Summary{Name: r.Name}
	if at := r.Geometry.Location; at.Lat != nil && at.Lng != nil {
		s.Lat, s.Lng, s.Located = *at.Lat, *at.Lng, true
	}
	if len(r.Types) > 0 {
		s.Type = r.Types[0]
	}
	return s, err
}
