package load

import (
	"testing"
	"time"
)

// The beats of a metronome are where they belong in time, none comes before its time, none comes while
// another waits, and none after stop.
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
		case f := <-posted: // on its way when it was stopped
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

// One that is to wait for long can be stopped at once.
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
