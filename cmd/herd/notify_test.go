package main

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"serverherd/herd/config"
)

// The notifications of a server and the end of its process decide whether a failed first start is
// permanent.
func TestPermanent(t *testing.T) {
	for _, test := range []struct {
		what, said, ends string
		permanent        bool
		why              string
	}{
		{"ready", "READY\n", "exit 1", false, "exit status 1"},
		{"fatal", "FATAL no such place\n", "exit 1", true, "no such place"},
		{"may heal", "FAILED port in use\n", "exit 1", false, "port in use"},
		{"a long reason", "FATAL " + strings.Repeat("x", 200_000) + "\n", "exit 1", true, strings.Repeat("x", maxReason-len("FATAL "))},
		{"a line without end", "FATAL cut", "exit 1", true, "cut"},
		{"panic", "", "exit 2", true, "exit status 2"},
		{"killed", "", "kill -9 $$", false, "signal: killed"},
	} {
		o, ready := &outcome{}, false
		o.readNotifications(strings.NewReader(test.said), func() { ready = true })
		o.err = exec.Command("sh", "-c", test.ends).Run()
		if got := o.permanent(); got != test.permanent || ready != (test.said == "READY\n") || o.String() != test.why {
			t.Errorf("%s: permanent %v, ready %v, %.100s", test.what, got, ready, o)
		}
	}
	for err, want := range map[error]bool{syscall.EMFILE: false, syscall.EAGAIN: false, exec.ErrNotFound: true, nil: false} {
		if got := (&outcome{err: err}).permanent(); got != want {
			t.Errorf("a process that could not be run, %v: permanent %v", err, got)
		}
	}
}

// The descriptor limit of up depends on the number of servers.
func TestDescriptorsOfUp(t *testing.T) {
	s := &supervisor{cfg: &config.Config{Limits: config.Limits{MaxConnections: 16}}, servers: make([]config.Server, 100)}
	if err := s.checkDescriptors(32 + 100*childDescriptors); err != nil {
		t.Error(err)
	}
	err := s.checkDescriptors(831)
	if want := "100 servers need 832 file descriptors, but the limit is 831: raise ulimit -n"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := s.checkDescriptors(16); err == nil || errors.Is(err, errFailed) {
		t.Errorf("got %v", err)
	}
}
