package cells

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"serverherd/cmd/herd/e2e/processtest"
	"serverherd/cmd/herd/parent"
)

// bucketName is the default of herd.toml.
const bucketName = "herd"

// natsServer is a nats-server in a process of its own. Its address and its store stay when it is started again.
type natsServer struct {
	t     *testing.T
	dir   string
	addr  string
	extra string               // of its configuration
	login string               // user:password@, for the test's own connections
	in    func(what func())    // starts the process in a network namespace; nil: in the test's
	is    *processtest.Process // that was started last
}

// newNATS returns a server that was not started.
func newNATS(t *testing.T, extra string) *natsServer {
	return &natsServer{t: t, dir: t.TempDir(), addr: freeAddress(t), extra: extra}
}

// startNATS starts a server.
func startNATS(t *testing.T, extra string) *natsServer {
	t.Helper()
	n := newNATS(t, extra)
	n.start()
	return n
}

// freeAddress returns an address whose host is not used by others.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", processtest.Host()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (n *natsServer) url() string   { return "nats://" + n.addr }
func (n *natsServer) store() string { return filepath.Join(n.dir, "store") }

// start starts the process and waits until it accepts connections.
func (n *natsServer) start() {
	n.t.Helper()
	n.launch()
	n.ready()
}

// launch starts the process.
func (n *natsServer) launch() {
	n.t.Helper()
	file := filepath.Join(n.dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n%s", n.addr, n.store(), n.extra)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	end, err := parent.End()
	if err != nil {
		n.t.Fatal(err)
	}
	p := &processtest.Process{Stderr: &processtest.Output{}, Done: make(chan struct{})}
	p.Cmd = exec.Command(natsBinary, "-config", file)
	p.Cmd.Stdout, p.Cmd.Stderr = p.Stderr, p.Stderr
	p.Cmd.ExtraFiles = []*os.File{end}
	p.Cmd.Env = append(os.Environ(), parent.Variable+"=3")
	begin := func() { err = p.Cmd.Start() }
	if n.in != nil {
		n.in(begin)
	} else {
		begin()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	go func() {
		_ = p.Cmd.Wait()
		close(p.Done)
	}()
	n.is = p
	n.t.Cleanup(func() {
		_ = p.Cmd.Process.Kill()
		<-p.Done
	})
}

// ready waits until the server accepts connections.
func (n *natsServer) ready() {
	n.t.Helper()
	processtest.Eventually(n.t, "nats-server listens", func() bool {
		select {
		case <-n.is.Done:
			n.t.Fatalf("nats-server has ended: %s", n.is.Stderr)
		default:
		}
		return strings.Contains(n.is.Stderr.String(), "nats://")
	})
}

// kill is kill -9.
func (n *natsServer) kill() {
	_ = n.is.Cmd.Process.Kill()
	<-n.is.Done
}

// suspend stops the process, as if it were very slow; resume ends that.
func (n *natsServer) suspend() {
	n.t.Helper()
	processtest.Suspend(n.t, n.is.Cmd.Process.Pid)
}

func (n *natsServer) resume() { _ = n.is.Cmd.Process.Signal(syscall.SIGCONT) }

// connect returns a connection of the test's own.
func (n *natsServer) connect() (*nats.Conn, jetstream.JetStream) {
	n.t.Helper()
	nc, err := nats.Connect("nats://"+n.login+n.addr, nats.Timeout(processtest.Patience))
	if err != nil {
		n.t.Fatal(err)
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(processtest.Patience))
	if err != nil {
		n.t.Fatal(err)
	}
	return nc, js
}

// manage calls f with a connection of the test's own.
func (n *natsServer) manage(f func(ctx context.Context, js jetstream.JetStream) error) {
	n.t.Helper()
	nc, js := n.connect()
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), processtest.Patience)
	defer cancel()
	if err := f(ctx, js); err != nil {
		n.t.Fatal(err)
	}
}

// put puts a value for a client, as another program may.
func (n *natsServer) put(client, value string) {
	n.t.Helper()
	n.manage(func(ctx context.Context, js jetstream.JetStream) error {
		kv, err := js.KeyValue(ctx, bucketName)
		if err != nil {
			return err
		}
		_, err = kv.PutString(ctx, base64.RawURLEncoding.EncodeToString([]byte(client)), value)
		return err
	})
}

// entries returns the values of all clients in the bucket.
func (n *natsServer) entries() (values map[string]string, err error) {
	nc, err := nats.Connect("nats://"+n.login+n.addr, nats.Timeout(5*time.Second))
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	kv, err := js.KeyValue(ctx, bucketName)
	if err != nil {
		return nil, err
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Stop() }()
	values = map[string]string{}
	for {
		select {
		case e := <-w.Updates():
			if e == nil {
				return values, nil
			}
			if client, err := base64.RawURLEncoding.DecodeString(e.Key()); err == nil {
				values[string(client)] = string(e.Value())
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
