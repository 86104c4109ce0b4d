package e2e

import (
	"strings"
	"testing"
	"time"
)

// The soak's reader of logs notes what attacks have changed, but no SIGHUP, and entries that came again too soon.
func TestSoakReadsLogs(t *testing.T) {
	l := &logWatch{counts: map[[3]string]int{}, last: map[[4]string]time.Time{}}
	for _, line := range []string{
		`{"msg":"reloading","by":"SIGHUP","time":"2026-11-28T10:00:00Z"}`,
		`{"msg":"reloading","by":"console on loopback","time":"2026-11-28T10:00:00Z"}`,
		`{"msg":"log level changed","from":"info","to":"error","by":"token admin","time":"2026-11-28T10:00:00Z"}`,
		`{"msg":"console request refused","kind":"origin","from":"127.0.0.1","time":"2026-11-28T10:00:00Z"}`,
		`{"msg":"console request refused","kind":"origin","from":"127.0.0.1","time":"2026-11-28T10:00:20Z"}`,
		`{"msg":"console request refused","kind":"no credentials","from":"127.0.0.1","time":"2026-11-28T10:00:21Z"}`,
		`{"msg":"console request refused","kind":"origin","from":"127.0.0.1","time":"2026-11-28T10:00:50Z"}`,
	} {
		l.note("Alford", []byte(line))
	}
	changes := strings.Join(l.changes(), "\n")
	if len(l.changes()) != 2 || !strings.Contains(changes, "console on loopback") || !strings.Contains(changes, "log level changed") {
		t.Errorf("changed: %s", changes)
	}
	if again := l.violations(); len(again) != 1 || !strings.Contains(again[0], "after 20.0 s") || l.entries != 4 {
		t.Errorf("%d entries, again: %v", l.entries, again)
	}
}

// A fault elsewhere lasts until it is over, and for what was due before.
func TestFaultAnywhere(t *testing.T) {
	var f faults
	before := time.Now()
	if f.anywhere(before) {
		t.Error("a fault before the first one")
	}
	if f.starts(); !f.anywhere(time.Now()) {
		t.Error("none while it lasts")
	}
	if f.over(); !f.anywhere(before) {
		t.Error("none for what was due before its end")
	}
	if f.anywhere(time.Now()) {
		t.Error("one after its end")
	}
}
