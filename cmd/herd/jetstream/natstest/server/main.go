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
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
	if port == 0 {
		port = server.RANDOM_PORT
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: store, NoSigs: true,
	})
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(time.Minute) {
		return fmt.Errorf("not ready")
	}
	fmt.Println(s.ClientURL())
	<-ctx.Done()
	return nil
}
