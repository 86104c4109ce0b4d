// Command figures measures what a bridge costs and brings, with real processes: the figures of the README of
// cmd/herd/jetstream. It needs bin/herd and some minutes.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"serverherd/cmd/herd/jetstream/natstest"
	"serverherd/herd"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "nats" {
		runNATS(os.Args[2])
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f := figures{ctx: ctx}
	flag.StringVar(&f.binary, "herd", "bin/herd", "the herd program")
	flag.IntVar(&f.clients, "clients", 1_000_000, "number of clients")
	flag.IntVar(&f.rate, "rate", 20_000, "updates per second for the delays")
	flag.DurationVar(&f.duration, "duration", 20*time.Second, "how long each rate is measured")
	flag.Parse()
	if err := f.run(); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

// runNATS is the NATS server, in a process of its own. It prints its URL.
func runNATS(dir string) {
	s, err := natstest.Run(&server.Options{StoreDir: dir, NoLog: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
	fmt.Println(s.ClientURL())
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent ends
	natstest.Stop(s)
}

// figures is one run.
type figures struct {
	ctx           context.Context
	binary, dir   string
	clients, rate int
	duration      time.Duration
}

func (f *figures) run() (err error) {
	if f.dir, err = os.MkdirTemp("", "figures"); err != nil {
		return err
	}
	defer os.RemoveAll(f.dir)
	store := filepath.Join(f.dir, "nats")
	nats, err := startNATS(store)
	if err != nil {
		return err
	}
	defer nats.end()
	west, err := f.start("west", "Alford", nats.url, "publish")
	if err != nil {
		return err
	}
	defer func() { west.end() }()
	if err := f.publishing(west, nats, store); err != nil {
		return err
	}
	if err := f.delays(west, nats.url); err != nil {
		return err
	}
	begun := time.Now()
	west.end()
	stopped := time.Since(begun)
	begun = time.Now()
	if west, err = f.start("west", "Alford", nats.url, "publish"); err != nil {
		return err
	}
	ready := time.Since(begun)
	if err := west.until("all records are restored", func(s *herd.Status) bool { return s.Records >= uint64(f.clients) }); err != nil {
		return err
	}
	fmt.Printf("restore of %d records: %.1f s from the start of the process, ready after %.1f s (it had stopped in %.1f s)\n",
		f.clients, time.Since(begun).Seconds(), ready.Seconds(), stopped.Seconds())
	return f.asking(nats.url)
}

// publishing: new keys, and then an update of each.
func (f *figures) publishing(west *herdServer, nats *natsServer, store string) error {
	for _, what := range []string{"new clients", "updates"} {
		before := west.status()
		cpu, natsCPU, begun := before.Process.CPU, nats.cpu(), time.Now()
		accepted := make(chan time.Duration, 1)
		go func() {
			sendAll(west.addr, f.clients)
			accepted <- time.Since(begun)
		}()
		count := before.Bridge.Published + uint64(f.clients)
		if err := west.until("all is published", func(s *herd.Status) bool { return s.Bridge.Published >= count && s.Bridge.Behind == 0 }); err != nil {
			return err
		}
		took, after := time.Since(begun), west.status()
		n := float64(after.Bridge.Published - before.Bridge.Published)
		fmt.Printf("%s: %.0f published/s by one bridge (%.0f in %.1f s; the server took them in %.1f s); CPU us a record: server %.1f, NATS server %.1f\n",
			what, n/took.Seconds(), n, took.Seconds(), (<-accepted).Seconds(), (after.Process.CPU-cpu)/n*1e6, (nats.cpu()-natsCPU)/n*1e6)
	}
	fmt.Printf("bytes a client at the NATS server: %d of memory, %d of disk\n", nats.resident()/f.clients, sizeOf(store)/f.clients)
	return nil
}

// delays: how long updates take from the client to a NATS client, and what that costs the loop.
func (f *figures) delays(west *herdServer, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	var all []time.Duration
	got := make(chan *nats.Msg, 1<<20)
	sub, err := nc.ChanSubscribe("$KV.herd.>", got)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range got {
			if at, ok := timeOf(m.Data); ok {
				all = append(all, time.Since(at))
			}
		}
	}()
	before := west.status()
	sent := sendPaced(west.addr, f.clients, f.rate, f.duration)
	after := west.status()
	_ = sub.Unsubscribe()
	close(got)
	<-done
	fmt.Printf("%d updates/s among %d clients, %d sent: %d seen by a NATS client after p50 %s, p99 %s\n",
		f.rate, f.clients, sent, len(all), quantile(all, 0.5), quantile(all, 0.99))
	alone, err := f.start("alone", "Holiday", "", "")
	if err != nil {
		return err
	}
	defer alone.end()
	sendAll(alone.addr, f.clients)
	first := alone.status()
	sendPaced(alone.addr, f.clients, f.rate, f.duration)
	second := alone.status()
	fmt.Printf("event loop at that rate: lag p99 below %s with a bridge, %s without; slowest call %.1f and %.1f ms; CPU %.0f %% and %.0f %%\n",
		lagP99(before, after), lagP99(first, second), after.Loop.Slowest*1e3, second.Loop.Slowest*1e3,
		(after.Process.CPU-before.Process.CPU)/f.duration.Seconds()*100, (second.Process.CPU-first.Process.CPU)/f.duration.Seconds()*100)
	return nil
}

// asking: WHATSATs at a herd that has none of the clients.
func (f *figures) asking(url string) error {
	east, err := f.start("east", "Hamilton", url, "ask")
	if err != nil {
		return err
	}
	defer east.end()
	if err := east.until("the bridge is live", func(s *herd.Status) bool { return s.Bridge.State == herd.BridgeLive }); err != nil {
		return err
	}
	for _, c := range []struct{ connections, rate int }{{16, 1000}, {64, 0}} {
		all := lookUp(east.addr, c.connections, c.rate, f.duration/2, func() string { return idOf(rand.IntN(f.clients)) })
		if len(all) == 0 {
			return fmt.Errorf("no WHATSAT was answered")
		}
		fmt.Printf("ask, %d connections: %.0f WHATSATs/s, p50 %s, p99 %s\n", c.connections,
			float64(len(all))/(f.duration/2).Seconds(), quantile(all, 0.5), quantile(all, 0.99))
	}
	return nil
}
