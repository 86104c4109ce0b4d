package load

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// Redis gets valid commands, and every reply is checked.
func TestRedisIsSentGEOADDs(t *testing.T) {
	want := []string{"GEOADD", "herd", `[+-]\d{3}\.\d{6}`, `[+-]\d{2}\.\d{6}`, `load00000[0-4]\d`}
	const lines = 1 + 2*5 // of a command
	var wrong atomic.Value
	r := mustRun(t, func() Options {
		o := small(scripted(t, func(n int, line string) []byte {
			line, ended := strings.CutSuffix(line, "\r")
			ok := line == "*5"
			if k := n % lines; k > 0 {
				pattern := want[(k-1)/2]
				ok = regexp.MustCompile("^" + pattern + "$").MatchString(line)
				if k%2 == 1 {
					length, err := strconv.Atoi(strings.TrimPrefix(line, "$"))
					ok = err == nil && length == len(map[int]string{
						1: "GEOADD", 3: "herd", 5: "+180.000000", 7: "+85.000000", 9: "load0000000"}[k])
				}
			}
			if !ok || !ended {
				wrong.Store(fmt.Sprintf("line %d of a command is %q", n%lines, line))
			}
			switch {
			case n%lines < lines-1:
				return []byte{}
			case n < 10*lines:
				return []byte(":1\r\n")
			}
			return []byte(":0\r\n")
		}))
		o.Redis = true
		return o
	}())
	if w := wrong.Load(); w != nil {
		t.Error(w)
	}
	if r.All.Errors != 0 || r.All.Replies != r.All.Sent || r.All.Replies == 0 {
		t.Errorf("%+v", r.All)
	}
}

// Error replies of Redis are counted by their text. An invalid reply closes the connection.
func TestRedisRefuses(t *testing.T) {
	for reply, want := range map[string]string{
		"-ERR invalid longitude,latitude pair 1,90\r\n": "Alford: > -ERR invalid longitude,latitude pair 1,90",
		"+OK\r\n": `Alford: unexpected reply to GEOADD`,
	} {
		o := small(scripted(t, func(n int, _ string) []byte {
			if n%11 < 10 {
				return []byte{}
			}
			return []byte(reply)
		}))
		o.Redis, o.drain = true, 1
		r, err := Run(t.Context(), o)
		if r == nil || len(r.All.Failures) == 0 || !strings.HasPrefix(r.All.Failures[0].What, want) {
			t.Errorf("%q: %v, %+v; want %q", reply, err, r, want)
		}
	}
	o := small(Target{Name: "Redis"})
	o.Redis, o.WHATSAT = true, 1
	if err := o.Check(); err == nil || !strings.Contains(err.Error(), "only IAMATs") {
		t.Errorf("WHATSATs for Redis: %v", err)
	}
}
