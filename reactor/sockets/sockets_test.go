package sockets

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// ListenFDs returns the listeners of LISTEN_FDS once.
func TestListenFDs(t *testing.T) {
	if os.Getenv("LISTEN_FDS") != "" {
		listeners, err := ListenFDs()
		if err != nil || len(listeners) != 2 {
			t.Fatalf("%d listeners, %v", len(listeners), err)
		}
		if again, _ := ListenFDs(); len(again) != 0 {
			t.Error("the same listeners twice")
		}
		c, err := listeners[1].Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(c, c)
		return
	}
	var files []*os.File
	var addr string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr = l.Addr().String()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		files = append(files, f)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestListenFDs$")
	cmd.Env = append(os.Environ(), "LISTEN_FDS=2")
	cmd.ExtraFiles = files
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr) // the port is open all the time
	if err != nil {
		t.Fatal(err)
	}
	sent, echoed := []byte("hello"), make([]byte, 5)
	if _, err := c.Write(sent); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, echoed); err != nil || !bytes.Equal(sent, echoed) {
		t.Errorf("%q, %v", echoed, err)
	}
	c.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, f := range files {
		f.Close()
	}
}

// LISTEN_FDS for another process is ignored; an invalid value is an error.
func TestListenFDsForOthers(t *testing.T) {
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "1")
	if l, err := ListenFDs(); len(l) != 0 || err != nil {
		t.Errorf("%d listeners of another process, %v", len(l), err)
	}
	t.Setenv("LISTEN_FDS", "many")
	if _, err := ListenFDs(); err == nil || !strings.Contains(err.Error(), `"many"`) {
		t.Errorf("the error is %v", err)
	}
}
