package load

import (
	"testing"
	"time"
)

// Beats are on time, never early, never while another one is pending, and never after stop.
func TestMetronome(t *testing.T) {
	const wait, period, beats = 5 * time.Millisecond, time.Millisecond, 20
	posted := make(chan func(), beats)
	var m metronome
	begun := time.Now()
	n := 0
	if err := m.start(func(f func()) { posted <- f }, wait, period, func() { n++ }); err != nil {
		t.Fatal(err)
	}
	for k := range beats {
		f := <-posted
		if early := wait + time.Duration(k)*period - time.Since(begun); early > 0 {
			t.Errorf("beat %d comes %v before its time", k, early)
		}
		select {
		case <-posted:
			t.Fatal("a beat while another waits")
		case <-time.After(3 * period):
		}
		f()
	}
	m.stop()
	m.stop() // again
	if n != beats {
		t.Errorf("%d beats were dealt with, want %d", n, beats)
	}
	for {
		select {
		case f := <-posted: // posted before stop
			f()
			continue
		case <-time.After(20 * period):
		}
		break
	}
	if n > beats+1 {
		t.Errorf("%d beats after stop", n-beats)
	}
}

// A timer with a long period can be stopped immediately.
func TestTicksStop(t *testing.T) {
	ticks, err := newTicks(time.Hour, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() { ended <- ticks.next() }()
	ticks.stop()
	if <-ended {
		t.Error("a tick after stop")
	}
}
