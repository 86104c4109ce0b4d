package cells

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"serverherd/herd"
)

// Others write what is no record of its client, and clients have ids of any bytes.
func TestBadValues(t *testing.T) {
	t.Parallel()
	n := startNATS(t, "")
	west, east := twoHerds(t, n, mode("share"))
	ids := []string{"kiwi", "tui"}
	for first := range 3 { // of every byte but white space
		var id strings.Builder
		for i := range 1024 {
			b := byte(i*(2*first+1) + 85*first)
			if strings.IndexByte(" \t\r\n\v\f\x00", b) >= 0 {
				b = 0xff
			}
			id.WriteByte(b)
		}
		ids = append(ids, id.String())
	}
	for _, id := range ids {
		west.iamat("Hamilton", id)
	}
	settled(t, n, []*cell{west, east})
	at := func(id string, when time.Time) string {
		return fmt.Sprintf("AT Hamilton +0.500000000 %s +34.068930-118.445127 %s", id, stamp(when))
	}
	now := time.Now()
	bad := []string{
		"garbage", at("another", now), at("kiwi", now.Add(365*24*time.Hour)), "AT", "\x00\xff\r\n",
		strings.Repeat("A", 1<<20-1024), "AT Hamilton +0.5 kiwi +34.068930-118.445127 " + strings.Repeat("9", 1<<19),
	}
	x := west.traffic("Hamilton", "west", 50)
	var nobodys []string
	for i, value := range bad {
		for _, id := range append(ids, fmt.Sprintf("nobody%d", i)) {
			n.put(id, value)
		}
		nobodys = append(nobodys, fmt.Sprintf("nobody%d", i))
	}
	x.goesOn(1)
	west.serves()
	x.end()
	settled(t, n, []*cell{west, east}, nobodys...)
	for name, c := range map[string]*cell{"Alford": west, "Ball": east} {
		c.until(name, "all are counted", func(b *herd.BridgeStatus) bool { return b.Invalid >= uint64(len(bad)) })
		c.logged(name, "bridge down", 0)
	}
	// The clock of another herd may be ahead by more than max_future.
	n.put("early", at("early", now.Add(90*time.Minute)))
	east.until("Ball", "it is counted", func(b *herd.BridgeStatus) bool { return b.Future == 1 })
	settled(t, n, []*cell{west, east}, append(nobodys, "early")...)
}
