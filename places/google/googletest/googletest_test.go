package googletest_test

import (
	"strings"
	"testing"
	"time"

	"serverherd/places"
	"serverherd/places/google"
	"serverherd/places/google/googletest"
)

var ucla = places.Query{Lat: 34.06893, Lng: -118.445127, RadiusM: 10_000}

func provider(
	t *testing.T, d googletest.Dialect, url string, timeout time.Duration,
) (p places.Provider) {
	t.Helper()
	o := google.Options{Key: googletest.Key, BaseURL: url, Timeout: timeout}
	var err error
	if d == googletest.NewAPI {
		p, err = google.NewPlaces(o)
	} else {
		p, err = google.NewLegacy(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Both clients return the expected error for each fault, and the next question is answered.
func TestFaults(t *testing.T) {
	for _, d := range []googletest.Dialect{googletest.LegacyAPI, googletest.NewAPI} {
		t.Run(string(d), func(t *testing.T) {
			s := googletest.Start(t)
			p := provider(t, d, s.URL, time.Minute)
			const denied = "REQUEST_DENIED"
			q := ucla
			for _, f := range append(d.Faults(), googletest.Fault{
				Name: denied, Answer: d.Status(denied), Want: "the answer was " + denied,
			}) {
				s.Set(f.Answer)
				requests := 0 // that came of a question
				for timeout := 50 * time.Millisecond; requests == 0; timeout *= 2 {
					client := p
					if strings.HasPrefix(f.Want, "no answer") { // a busy machine may need longer to ask
						client = provider(t, d, s.URL, timeout)
					}
					q.RadiusM++ // so that it is known which request is of this question
					r, err := client.Nearby(t.Context(), q)
					if err == nil || !strings.HasPrefix(err.Error(), f.Want) ||
						strings.Contains(err.Error(), googletest.Key) {
						t.Errorf("%s: %+v, %v, want %q", f.Name, r, err, f.Want)
					}
					if _, ok := err.(*places.Failure); !ok {
						t.Errorf("%s: %T", f.Name, err)
					}
					for _, one := range s.Questions() {
						if one.Query == q {
							requests++
						}
					}
					if requests == 0 && client == p {
						t.Fatalf("%s: no request", f.Name)
					}
				}
				// net/http repeats a GET whose kept connection has died, and no POST.
				most := 1
				if f.Name == "hangs up" && d == googletest.LegacyAPI {
					most = 2
				}
				if requests > most {
					t.Errorf("%s: %d requests for one question", f.Name, requests)
				}
				s.Set(nil)
				if r, err := p.Nearby(t.Context(), ucla); err != nil || len(r.Results) == 0 {
					t.Errorf("after %s: %+v, %v", f.Name, r, err)
				}
			}
			s.Set(googletest.Slow(d, time.Millisecond))
			if r, err := p.Nearby(t.Context(), ucla); err != nil || len(r.Results) == 0 {
				t.Errorf("slow and compressed: %+v, %v", r, err)
			}
		})
	}
}

// What may happen before there is any HTTP, and then the next question over a new connection.
func TestTroubles(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", googletest.Certificate(t)) // read with the first use of TLS
	for _, d := range []googletest.Dialect{googletest.LegacyAPI, googletest.NewAPI} {
		t.Run(string(d), func(t *testing.T) {
			s := googletest.StartTLS(t)
			for _, trouble := range googletest.Troubles {
				timeout := time.Minute
				if strings.HasPrefix(trouble.Want, "no answer") {
					timeout = 500 * time.Millisecond
				}
				p := provider(t, d, s.URL, timeout)
				s.SetTrouble(trouble.Serve)
				refuses(t, trouble.Name, p, trouble.Want)
				s.SetTrouble(nil)
				if r, err := p.Nearby(t.Context(), ucla); err != nil || len(r.Results) == 0 {
					t.Errorf("after %s: %+v, %v", trouble.Name, r, err)
				}
			}
			s.Close()
			refuses(t, "nobody there", provider(t, d, s.URL, time.Minute),
				"cannot connect to the server")
			refuses(t, "no such name", provider(t, d, googletest.Nowhere, time.Minute),
				"cannot resolve the server's name")
		})
	}
}

func refuses(t *testing.T, name string, p places.Provider, want string) {
	t.Helper()
	r, err := p.Nearby(t.Context(), ucla)
	f, ok := err.(*places.Failure)
	if !ok || !strings.HasPrefix(err.Error(), want) || f.Kind != places.Transient {
		t.Errorf("%s: %+v, %v, want %q", name, r, err, want)
	}
}
