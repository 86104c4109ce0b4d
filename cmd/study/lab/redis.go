package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// redisProcess is the name of a Redis process.
const redisProcess = "redis"

// startRedis starts Redis without persistence.
func startRedis(ctx context.Context, b *Bench) (servers, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := bytes.Cut([]byte(addr), []byte(":"))
	p, err := spawn(redisProcess, b.Dir, nil, nil, "redis-server", "--port", string(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--daemonize", "no")
	if err != nil {
		return nil, err
	}
	p.addr = addr
	return listening(ctx, p)
}

// missingRedis says which program of a subject with Redis is missing here; "" if none is.
func missingRedis(subject string) string {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return "redis-server is not installed: apt-get install redis-server"
	}
	if _, err := exec.LookPath("redis-benchmark"); err != nil && subject == redisBenchmark {
		return "redis-benchmark is not installed: apt-get install redis-tools"
	}
	return ""
}

// redisVersion is the version of redis-server; "" if it is unknown.
func redisVersion() string {
	out, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		return ""
	}
	for _, word := range strings.Fields(string(out)) { // Redis server v=7.0.15 sha=...
		if v, ok := strings.CutPrefix(word, "v="); ok {
			return v
		}
	}
	return ""
}

// benchmarkRedis loads Redis by its own redis-benchmark, in a closed loop. It sends GEOADDs of 1,000 ids at
// random and hardly looks at the replies. They are counted by Redis, and none may be an error.
func (b *Bench) benchmarkRedis(ctx context.Context, to servers, conns, pipeline int) (loaded, error) {
	p := to[0]
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return loaded{}, err
	}
	// Each __rand_int__ is a number from 0 to 999, with leading zeros: longitudes to 99.9, latitudes to 9.99.
	client, err := spawn("redis-benchmark", b.Dir, nil, nil, "redis-benchmark", "-p", port, "-q", "-l",
		"-n", "100000000", "-c", strconv.Itoa(conns), "-P", strconv.Itoa(pipeline), "-r", "1000",
		"GEOADD", "herd", "__rand_int__e-1", "__rand_int__e-2", "load__rand_int__")
	if err != nil {
		return loaded{}, err
	}
	defer client.stop()
	info, err := dialRedis(p.addr)
	if err != nil {
		return loaded{}, err
	}
	defer info.c.Close()
	if err := client.until(ctx, "connected", func() bool {
		n, err := info.stat("clients", "connected_clients")
		return err == nil && int(n) > conns // and this one
	}); err != nil {
		return loaded{}, err
	}
	warmup, length := b.lengths(conns)
	pause(ctx, warmup)
	m := &meter{servers: to}
	m.begin()
	loader, err1 := client.usage()
	before, err2 := info.stat("stats", "total_commands_processed")
	pause(ctx, length)
	after, err3 := info.stat("stats", "total_commands_processed")
	m.end()
	loaderAfter, err4 := client.usage()
	errors, err5 := info.stat("stats", "total_error_replies")
	for _, err := range []error{err1, err2, err3, err4, err5, m.err, ctx.Err(), client.alive()} {
		if err != nil {
			return loaded{}, err
		}
	}
	if errors > 0 {
		return loaded{}, Void("%v replies of Redis were errors", errors)
	}
	m.result.replies = after - before
	m.result.loader = loaderAfter.user + loaderAfter.system - loader.user - loader.system
	if m.result.replies == 0 {
		return loaded{}, fmt.Errorf("no replies within %v", length)
	}
	return m.result, nil
}

// redisInfo asks Redis for its statistics. One goroutine.
type redisInfo struct{ c net.Conn }

func dialRedis(addr string) (*redisInfo, error) {
	c, err := net.Dial("tcp", addr)
	return &redisInfo{c}, err
}

// stat returns a number of a section of INFO.
func (r *redisInfo) stat(section, name string) (float64, error) {
	_ = r.c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(r.c, "INFO %s\r\n", section); err != nil {
		return 0, err
	}
	// The reply is $ and its length, and then so many bytes, each with CRLF behind it.
	var text []byte
	for buf, left := make([]byte, 16<<10), 1; left > 0; {
		n, err := r.c.Read(buf)
		if err != nil {
			return 0, err
		}
		text = append(text, buf[:n]...)
		if head, body, ok := bytes.Cut(text, []byte("\r\n")); ok {
			size, err := strconv.Atoi(strings.TrimPrefix(string(head), "$"))
			if err != nil {
				return 0, fmt.Errorf("unexpected reply to INFO: %q", head)
			}
			left = size + 2 - len(body)
		}
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no %s in INFO %s", name, section)
}
