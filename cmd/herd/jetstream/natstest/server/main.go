// Server runs a nats-server with JetStream on the loopback interface, for demonstrations:
//
//	go run ./server -port 4222 -store DIR
//
// It prints its URL when it accepts connections.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"

	"serverherd/cmd/herd/jetstream/natstest"
)

func main() {
	port := flag.Int("port", 4222, "0 is a free port")
	store := flag.String("store", "", "directory of the streams, required")
	flag.Parse()
	if err := run(*port, *store); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(port int, store string) error {
	if store == "" {
		return fmt.Errorf("-store is required")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	s, err := natstest.Run(&server.Options{Port: port, StoreDir: store})
	if err != nil {
		return err
	}
	defer natstest.Stop(s)
	fmt.Println(s.ClientURL())
	<-ctx.Done()
	return nil
}
