package view

import (
	"fmt"
	"math"
	"time"

	"serverherd/herd"
	"serverherd/herd/trace"
)

// The formats of all screens. Each says how many characters it takes, so that columns can have fixed widths.

// Count formats a number with commas.
func Count[N int | uint64](n N) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Plural formats a number with its unit.
func Plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Number is Count in at most 7 characters: from a million on, it has three digits and a unit.
func Number[N int | uint64 | float64](n N) string {
	f := float64(n)
	if f < 999_999.5 {
		return Count(int(math.Round(f)))
	}
	return scaled(f)
}

// Rate formats a number per second in at most 6 characters.
func Rate(n float64) string {
	switch {
	case n > 0 && n < 9.95:
		return fmt.Sprintf("%.1f", n)
	case n < 99_999.5:
		return Count(int(math.Round(n)))
	}
	return scaled(n)
}

// scaled formats a number of at least a thousand with three digits and a unit.
func scaled(n float64) string {
	for _, unit := range []string{"k", "M", "G", "T", "P", "E"} {
		switch n /= 1000; {
		case n < 9.995:
			return fmt.Sprintf("%.2f%s", n, unit)
		case n < 99.95:
			return fmt.Sprintf("%.1f%s", n, unit)
		case n < 999.5:
			return fmt.Sprintf("%.0f%s", n, unit)
		}
	}
	return "huge"
}

// Percent formats a share. A process may use more than one core.
func Percent(n float64) string { return fmt.Sprintf("%.0f%%", 100*n) }

// Bytes formats a number of bytes in at most 6 characters. A kB is 1,000 bytes.
func Bytes[N int | uint64 | float64](n N) string {
	f := float64(n)
	for _, unit := range []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"} {
		switch {
		case f < 9.95 && unit != "B":
			return fmt.Sprintf("%.1f %s", f, unit)
		case f < 999.5:
			return fmt.Sprintf("%.0f %s", f, unit)
		}
		f /= 1000
	}
	return "huge"
}

// Clock formats a time in the local time zone: of today without its date.
func Clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateOnly)
}

// Duration formats a duration in at most two units, from days to seconds, and 7 characters. A negative one,
// by a clock that was set, is 0s.
func Duration(d time.Duration) string {
	s := int64(max(0, d).Round(time.Second).Seconds())
	if s >= 100*86400 {
		return fmt.Sprintf("%dd", s/86400)
	}
	for _, unit := range []struct {
		of          int64
		large, less string
		lessOf      int64
	}{{86400, "d", "h", 3600}, {3600, "h", "m", 60}, {60, "m", "s", 1}} {
		if s >= unit.of {
			return fmt.Sprintf("%d%s%d%s", s/unit.of, unit.large, s%unit.of/unit.lessOf, unit.less)
		}
	}
	return fmt.Sprintf("%ds", s)
}

// longest is the longest time that is formatted, in seconds.
const longest = 9e9

// Latency formats seconds in at most 6 characters, and a minus: below a minute as trace.Delay does, with
// microseconds below a millisecond, and then as Duration. It is "-" if nothing was measured.
func Latency(seconds float64, known bool) string {
	switch {
	case !known || math.IsNaN(seconds):
		return "-"
	case math.Abs(seconds) < 59.95:
		return trace.Delay{Seconds: seconds}.String()
	case seconds < 0:
		return "-" + Duration(time.Duration(min(-seconds, longest)*1e9))
	}
	return Duration(time.Duration(min(seconds, longest) * 1e9))
}

// Bound formats an upper bound of a time in seconds, such as that of a histogram with few steps, in at most 7
// characters.
func Bound(seconds float64, known bool) string {
	if !known {
		return "-"
	}
	return "<" + Latency(seconds, true)
}

// ClockOf says how far a neighbor's clock is from the server's.
func ClockOf(c *herd.ClockStatus) string {
	if c == nil {
		return "unknown"
	}
	ahead, off := math.Abs(c.Ahead), c.Uncertainty
	if ahead <= off { // they may be equal
		return "within " + Latency(ahead+off, true)
	}
	how := " ahead"
	if c.Ahead < 0 {
		how = " behind"
	}
	return Latency(ahead, true) + how
}
