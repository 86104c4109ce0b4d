package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"serverherd/herd"
	"serverherd/reactor"
)

// connections is how many connections send updates.
const connections = 8

func idOf(i int) string { return fmt.Sprintf("client%07d.example", i) }

// appendIAMAT appends an update of a client at a random place, now.
func appendIAMAT(dst []byte, i int, now time.Time) []byte {
	return fmt.Appendf(dst, "IAMAT %s %+010.6f%+011.6f %d.%09d\n", idOf(i), rand.Float64()*180-90, rand.Float64()*360-180,
		now.Unix(), now.Nanosecond())
}

// timeOf returns the time that the client gave, the last field of an AT line.
func timeOf(line []byte) (time.Time, bool) {
	seconds, fraction, ok := bytes.Cut(line[bytes.LastIndexByte(line, ' ')+1:], []byte("."))
	s, err := strconv.ParseInt(string(seconds), 10, 64)
	n, err2 := strconv.ParseInt(string(fraction), 10, 64)
	return time.Unix(s, n), ok && err == nil && err2 == nil
}

// sender is a connection whose replies are read and forgotten.
type sender struct {
	net.Conn
	ended chan struct{}
}

func dial(addr string) *sender {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	s := &sender{c, make(chan struct{})}
	go func() {
		defer close(s.ended)
		buf := make([]byte, 64<<10)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	}()
	return s
}

// finish waits for the last reply.
func (s *sender) finish() {
	_, _ = s.Write([]byte("quit\n"))
	<-s.ended
	s.Close()
}

// sendAll updates all clients, as fast as the server accepts it.
func sendAll(addr string, clients int) {
	var all sync.WaitGroup
	for k := range connections {
		all.Go(func() {
			s := dial(addr)
			var lines []byte
			for i := k; i < clients; i += connections {
				if lines = appendIAMAT(lines, i, time.Now()); len(lines) > 16<<10 {
					_, _ = s.Write(lines)
					lines = lines[:0]
				}
			}
			_, _ = s.Write(lines)
			s.finish()
		})
	}
	all.Wait()
}

// sendPaced updates random clients at a rate and returns how many.
func sendPaced(addr string, clients, rate int, d time.Duration) (sent int) {
	var all sync.WaitGroup
	counts := make([]int, connections)
	for k := range connections {
		all.Go(func() {
			s := dial(addr)
			var lines []byte
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for begun := time.Now(); time.Since(begun) < d; <-tick.C {
				now := time.Now()
				due := int(now.Sub(begun).Seconds() * float64(rate) / connections)
				for lines = lines[:0]; counts[k] < due; counts[k]++ {
					lines = appendIAMAT(lines, rand.IntN(clients), now)
				}
				_, _ = s.Write(lines)
			}
			s.finish()
		})
	}
	all.Wait()
	for _, n := range counts {
		sent += n
	}
	return sent
}

// lookUp sends WHATSATs, one at a time on each connection, at a rate (0: as fast as they are answered), and returns how long
// each took.
func lookUp(addr string, connections, rate int, d time.Duration, id func() string) (all []time.Duration) {
	var wait sync.WaitGroup
	took := make([][]time.Duration, connections)
	for k := range connections {
		wait.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for begun, n := time.Now(), 0; time.Since(begun) < d; n++ {
				if rate > 0 {
					time.Sleep(time.Until(begun.Add(time.Duration(float64(n) * float64(connections) / float64(rate) * float64(time.Second)))))
				}
				sent := time.Now()
				fmt.Fprintf(c, "WHATSAT %s 1 0\n", id())
				first, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				found := bytes.HasPrefix(first, []byte("AT "))
				for line := first; len(line) > 1; {
					if line, err = r.ReadSlice('\n'); err != nil {
						return
					}
				}
				if found {
					took[k] = append(took[k], time.Since(sent))
				}
			}
		})
	}
	wait.Wait()
	return slices.Concat(took...)
}

// quantile returns a part of durations, in milliseconds.
func quantile(all []time.Duration, q float64) string {
	if len(all) == 0 {
		return "-"
	}
	slices.Sort(all)
	return fmt.Sprintf("%.2f ms", all[int(q*float64(len(all)-1))].Seconds()*1e3)
}

// lagP99 is a bound on the loop's lag between two states.
func lagP99(before, after *herd.Status) time.Duration {
	var h reactor.Histogram
	for i, n := range after.Loop.Lags {
		h.Counts[i] = n - before.Loop.Lags[i]
	}
	return h.Quantile(0.99)
}
