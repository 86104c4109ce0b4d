// Server runs a nats-server with JetStream, for demonstrations and tests:
//
//	go run ./server -port 4222 -store DIR
//	go run ./server -config FILE
//
// The first one listens on the loopback interface, the other one as nats-server's configuration in FILE says. It prints
// its URL when it accepts connections.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"

	"serverherd/cmd/herd/jetstream/natstest"
	"serverherd/cmd/herd/parent"
)

func main() {
	port := flag.Int("port", 4222, "0 is a free port")
	store := flag.String("store", "", "directory of the streams")
	file := flag.String("config", "", "nats-server's configuration, instead of -port and -store")
	flag.Parse()
	if err := run(*port, *store, *file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(port int, store, file string) (err error) {
	o := &server.Options{Port: port, StoreDir: store}
	if file != "" {
		if o, err = server.ProcessConfigFile(file); err != nil {
			return err
		}
	}
	if o.StoreDir == "" {
		return errors.New("a directory of the streams is required")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	parent.Watch(cancel)
	s, err := natstest.Run(o)
	if err != nil {
		return err
	}
	defer natstest.Stop(s)
	fmt.Println(s.ClientURL())
	<-ctx.Done()
	return nil
}
