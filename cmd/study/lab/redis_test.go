package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A number of INFO is found however its reply is split, and after it the next one.
func TestRedisInfo(t *testing.T) {
	const body = "# Stats\r\ntotal_commands_processed:12\r\ntotal_error_replies:3\r\n"
	reply := "$61\r\n" + body + "\r\n"
	if len(body) != 61 {
		t.Fatalf("the body has %d bytes", len(body))
	}
	for at := 1; at < len(reply); at++ {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			for range 2 {
				if _, err := there.Read(make([]byte, 100)); err != nil {
					return
				}
				for _, part := range []string{reply[:at], reply[at:]} {
					if _, err := io.WriteString(there, part); err != nil {
						return
					}
				}
			}
		}()
		r := &redisInfo{here}
		for name, want := range map[string]float64{"total_commands_processed": 12, "total_error_replies": 3} {
			if got, err := r.stat("stats", name); err != nil || got != want {
				t.Errorf("split at %d: %s is %v, %v; want %v", at, name, got, err, want)
			}
		}
		here.Close()
	}
}

// Each program that is missing is named, with the package that has it.
func TestMissingRedis(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if got := missing(redisBenchmark); !strings.HasPrefix(got, "redis-server is not installed") {
		t.Errorf("without both: %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "redis-server"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, want := missing(redisBenchmark), "redis-benchmark is not installed: apt-get install redis-tools"; got != want {
		t.Errorf("without redis-benchmark: %q, want %q", got, want)
	}
	if got := missing(redis); got != "" {
		t.Errorf("with the server alone, GEOADDs of the loader: %q", got)
	}
}

// redis-benchmark sends GEOADDs that Redis takes without an error.
func TestBenchmarkRedis(t *testing.T) {
	if why := missing(redisBenchmark); why != "" {
		fmt.Fprintln(os.Stderr, "NOT RUN: TestBenchmarkRedis: "+why)
		t.SkipNow()
	}
	b := &Bench{Dir: t.TempDir(), Length: quickLength}
	to, err := startRedis(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer to.stop()
	l, err := b.benchmarkRedis(context.Background(), to, 2, 16)
	if err != nil {
		t.Fatal(err)
	}
	if l.replies == 0 {
		t.Error("no replies")
	}
}
