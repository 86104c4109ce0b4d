package gnetreactor

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"serverherd/reactor"
)

// roundTrips sends one byte after the other to an echo until enough says so.
func roundTrips(t *testing.T, c net.Conn, enough func() bool) {
	t.Helper()
	c.SetDeadline(time.Now().Add(time.Minute))
	for p := []byte{'x'}; !enough(); {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatal(err)
		}
	}
}

// A connection whose reading was paused is read by gnet again: its input is handled without a turn.
func TestReadByGnetAgain(t *testing.T) {
	r := New(Options{})
	run(t, r)
	made := make(chan reactor.Transport, 1)
	c, err := net.Dial("tcp", serve(t, r, &echo{made: made}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tr := <-made
	for range 3 {
		var paused uint64
		do(r, func() {
			tr.PauseReceiving()
			paused = r.Stats().BytesIn
		})
		input := bytes.Repeat([]byte{'y'}, 2*reactor.MaxHeldInput)
		if _, err := c.Write(input); err != nil {
			t.Fatal(err)
		}
		for held := uint64(0); held < reactor.MaxHeldInput; { // then its reading is paused
			do(r, func() { held = r.Stats().BytesIn - paused })
		}
		do(r, tr.ResumeReceiving)
		if _, err := io.ReadFull(c, input); err != nil {
			t.Fatal(err)
		}
		turns := func() (n uint64) {
			do(r, func() { n = r.Stats().Turns })
			return n
		}
		last, trips := turns(), 0
		roundTrips(t, c, func() bool {
			if trips++; trips%20 > 0 {
				return false
			}
			before := last
			last = turns()
			return last-before == 1 // the one that counts
		})
	}
}

// A delayed call that is due is made after an event: it does not wait for the timer.
func TestDelayedCallsAfterAnEvent(t *testing.T) {
	r := New(Options{})
	run(t, r)
	c, err := net.Dial("tcp", serve(t, r, &echo{}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	trips := 0
	roundTrips(t, c, func() bool { trips++; return trips > 1 })
	called := false
	do(r, func() {
		r.timer.Stop()
		r.timer = time.NewTimer(time.Hour) // it calls nothing
		r.CallLater(100*time.Microsecond, func() { called = true })
	})
	roundTrips(t, c, func() bool { trips++; return trips > 100 })
	do(r, func() { // a turn makes posted calls before delayed ones
		if !called {
			t.Error("not called")
		}
	})
}
