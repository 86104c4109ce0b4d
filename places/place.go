package places

import "encoding/json"

// Summary is what a person wants to see of a result.
type Summary struct {
	Name     string
	Type     string // the first of its types
	Lat, Lng float64
}

// Summarize reads the few members of a Nearby Search result that both the embedded data and Google
// have. A result without them has empty ones.
func Summarize(result json.RawMessage) (Summary, error) {
	var r struct {
		Name     string   `json:"name"`
		Types    []string `json:"types"`
		Geometry struct {
			Location struct{ Lat, Lng float64 } `json:"location"`
		} `json:"geometry"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return Summary{}, err
	}
	s := Summary{Name: r.Name, Lat: r.Geometry.Location.Lat, Lng: r.Geometry.Location.Lng}
	if len(r.Types) > 0 {
		s.Type = r.Types[0]
	}
	return s, nil
}
