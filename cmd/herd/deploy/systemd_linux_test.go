package deploy

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// machine is a systemd that is PID 1 of namespaces, with this repository in /repository.
type machine struct {
	t   *testing.T
	pid string // of that systemd, outside
}

// boot starts a machine with testdata/boot.sh, or returns nil and says why it is NOT RUN. It ends with the test, however
// that ends, and leaves no control group.
func boot(t *testing.T) *machine {
	t.Helper()
	repository := emptyRoot(t)
	for _, file := range []string{"herd.toml", "cmd/herd/deploy/systemd/herd@.service", "cmd/herd/deploy/systemd/herd.target"} {
		at := filepath.Join(repository, file)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(read(t, filepath.Join("../../..", file))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(repository, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(repository, "herd"), filepath.Join(repository, "bin/herd")); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("bash", "testdata/boot.sh", t.TempDir(), repository)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C ends the test, and with that the script
	var errOut processtest.Output
	c.Stderr = &errOut
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Logf("NOT RUN: the units under systemd: %v", err)
		return nil
	}
	t.Cleanup(func() {
		in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait()
		for _, hierarchy := range []string{"", "/*"} { // of version 2 and of version 1
			left, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup%s/herd-test-%d", hierarchy, c.Process.Pid))
			if len(left) > 0 {
				t.Errorf("control groups are left: %s", left)
			}
		}
	})
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Logf("NOT RUN: the units under systemd: as root on Linux, apt-get install systemd openssl: %s", &errOut)
		return nil
	}
	return &machine{t, strings.TrimSpace(pid)}
}

// try runs a script of bash as root in /repository of the machine.
func (m *machine) try(script string) (out string, code int) {
	m.t.Helper()
	out, errOut, code := processtest.Run(m.t, "/", script, "nsenter", "--target", m.pid, "--all", "env", "-i",
		"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HERD_CONFIG=/etc/herd/herd.toml", "bash", "-c",
		"cd /repository; set -euo pipefail; source /dev/stdin")
	return out + errOut, code
}

// run runs a script that must succeed, and returns its output.
func (m *machine) run(script string) string {
	m.t.Helper()
	out, code := m.try(script)
	if code != 0 {
		journal, _ := m.try("journalctl --no-pager --output=cat | tail -n 40")
		m.t.Fatalf("%s\nexit code %d: %s\nThe journal: %s", script, code, out, journal)
	}
	return out
}

// until runs a script until it succeeds.
func (m *machine) until(script string) {
	m.t.Helper()
	last, held := "", false
	defer func() {
		if !held {
			m.t.Logf("it says: %s", last)
		}
	}()
	processtest.Eventually(m.t, script, func() bool {
		out, code := m.try(script)
		last, held = out, code == 0
		return held
	})
}

// unit returns a property of the unit of a server.
func (m *machine) unit(server, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run(fmt.Sprintf("systemctl show --value --property=%s herd@%s", property, server)))
}

// is fails the test unless a property of the unit of a server has this value.
func (m *machine) is(server, property, want string) {
	m.t.Helper()
	if got := m.unit(server, property); got != want {
		m.t.Errorf("%s of %s is %q, not %q", property, server, got, want)
	}
}

// blocks returns the code blocks of a language in the section "systemd" of the README.
func blocks(t *testing.T, language string) (all []string) {
	t.Helper()
	_, section, _ := strings.Cut(read(t, "README.md"), "\n## systemd\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for i, part := range strings.Split(section, "```") {
		if name, code, _ := strings.Cut(part, "\n"); i%2 == 1 && name == language {
			all = append(all, code)
		}
	}
	return all
}

// changed returns herd.toml of the repository with the keys of another one.
func changed(t *testing.T, keys string) string {
	t.Helper()
	text := read(t, "../../../herd.toml")
	table := ""
	for line := range strings.Lines(keys) {
		key, _, isKey := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "["):
			if table = line; !strings.Contains(text, "\n"+table) {
				text += "\n" + table
			}
		case isKey:
			before, after, _ := strings.Cut(text, "\n"+table)
			after = regexp.MustCompile(`(?m)\A((?:[^\[].*\n|\n)*?)`+key+` .*\n`).ReplaceAllString(after, "$1")
			text = before + "\n" + table + line + after
		}
	}
	return text
}

// The commands of the README, the units and what they protect, under a real systemd.
func TestUnderSystemd(t *testing.T) {
	m := boot(t)
	if m == nil {
		return
	}
	m.until("systemctl is-system-running --wait")
	commands := blocks(t, "")
	m.run(commands[0])
	servers := []string{"Alford", "Ball", "Welsh"} // Welsh has links to both
	config := changed(t, blocks(t, "toml")[0]+`
[places]
provider = "google"
base_url = "http://127.0.0.1:9"
key_file = "/etc/herd/places-key"
fallback = "embedded"
[log]
max_size = 1048576
compress = true
[tls]
links = "required"
`)
	write := func(text string) { m.run("cat >/etc/herd/herd.toml <<'END'\n" + text + "END\n") }
	write(config)
	// A refused system call ends Welsh; it could handle the error that the others get, and nobody would notice.
	m.run(`
install -m 640 -g herd-config /dev/null /etc/herd/places-key
echo key >/etc/herd/places-key
herd cert
chmod 755 /etc/herd/tls
chgrp herd-config /etc/herd/tls/[A-Z]*-key.pem
chmod 640 /etc/herd/tls/[A-Z]*-key.pem
mkdir /etc/systemd/system/herd@Alford.service.d /etc/systemd/system/herd@Welsh.service.d
printf '[Service]\nWatchdogSec=4\n' >/etc/systemd/system/herd@Alford.service.d/test.conf
printf '[Service]\nSystemCallErrorNumber=kill\n' >/etc/systemd/system/herd@Welsh.service.d/test.conf
systemctl enable herd@Welsh
systemctl daemon-reload
`)
	m.run(commands[1])
	uid := m.started(servers)
	m.files(uid)

	first, _, _ := strings.Cut(m.run(commands[2]), "\n")
	m.run("herd iamat kiwi 34.06,-118.44 --at Alford --token " + first)
	token := m.tokens(servers)
	welsh := m.unit("Welsh", "MainPID")
	m.run("herd whatsat kiwi 10 5 --at Welsh --token " + token + " | grep -q results") // of the fallback
	m.until("test -s /var/lib/herd/places-state")
	m.logs(servers, token)
	m.certificates("Welsh")
	m.failures("Alford", token)
	m.broken("Alford", config, write)

	before := []string{m.unit("Alford", "MainPID"), m.unit("Ball", "MainPID")}
	m.run(commands[3])
	for i, server := range []string{"Alford", "Ball"} {
		if m.unit(server, "MainPID") == before[i] {
			t.Errorf("%s is the same process after the upgrade", server)
		}
		m.run("herd ready " + server)
	}

	m.run("herd iamat last 34.06,-118.44 --at Alford --token " + token + "\nsystemctl stop herd@Alford")
	m.is("Alford", "Result", "success")
	m.is("Alford", "ExecMainStatus", "0")
	m.is("Alford", "ActiveState", "inactive")
	m.run("herd client last --at Welsh")
	m.is("Welsh", "MainPID", welsh)
	m.is("Welsh", "NRestarts", "0")
	m.run("systemctl stop herd.target")
	for _, server := range servers {
		m.is(server, "ActiveState", "inactive")
		m.is(server, "Result", "success")
	}
	if out, code := m.try(`zgrep -hiE '"level":"error"|not permitted|permission denied' /var/log/herd/*`); code != 1 {
		t.Errorf("in the logs: %s", out)
	}
	if out, code := m.try(`journalctl --no-pager --output=cat _COMM=herd | grep -iE 'not permitted|permission denied'`); code != 1 {
		t.Errorf("in the journal: %s", out)
	}
}

// started checks that the servers are ready as soon as systemd says so, and limited, and returns the user that they share.
func (m *machine) started(servers []string) (uid string) {
	m.t.Helper()
	m.run("systemctl start herd@" + strings.Join(servers, " herd@"))
	// A machine may have less for everybody, root included.
	descriptors := strings.TrimSpace(m.run("ulimit -n 65536 2>/dev/null || ulimit -n $(ulimit -Hn)\nulimit -n"))
	if descriptors != "65536" {
		m.t.Logf("NOT RUN: LimitNOFILE: root gets no more than %s descriptors here", descriptors)
	}
	for _, server := range servers {
		m.run("herd export --at " + server) // it listens
	}
	for _, server := range servers {
		m.is(server, "ActiveState", "active")
		m.is(server, "SubState", "running")
		m.is(server, "NRestarts", "0")
		if status := m.unit(server, "StatusText"); !strings.HasPrefix(status, "listening on ") {
			m.t.Errorf("the status of %s is %q", server, status)
		}
		pid := m.unit(server, "MainPID")
		one := strings.TrimSpace(m.run("stat -c %u /proc/" + pid))
		if uid == "" {
			uid = one
		}
		if one != uid || one == "0" {
			m.t.Errorf("the user of %s is %s, not %s", server, one, uid)
		}
		for what, want := range map[string]string{
			"grep '^Max open files' /proc/" + pid + "/limits":                         fmt.Sprintf(`^Max open files +%[1]s +%[1]s `, descriptors),
			"grep '^Max core file size' /proc/" + pid + "/limits":                     `^Max core file size +0 +0 `,
			"grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/" + pid + "/status": `CapEff:\t0+\nCapBnd:\t0+\nNoNewPrivs:\t1\nSeccomp:\t2\n`,
			"tr '\\0' '\\n' </proc/" + pid + "/environ":                               `(?m)^GOMEMLIMIT=900MiB$`,
		} {
			if got := m.run(what); !regexp.MustCompile(want).MatchString(got) {
				m.t.Errorf("%s of %s: %s", what, server, got)
			}
		}
		for _, limit := range []struct{ controller, v1, v2, want string }{
			{"memory", "memory.limit_in_bytes", "memory.max", "1073741824"}, {"pids", "pids.max", "pids.max", "512"},
		} {
			group := m.unit(server, "ControlGroup")
			file := fmt.Sprintf("/sys/fs/cgroup%s/%s", group, limit.v2)
			if _, code := m.try("test -e /sys/fs/cgroup/cgroup.controllers"); code != 0 {
				file = fmt.Sprintf("/sys/fs/cgroup/%s%s/%s", limit.controller, group, limit.v1)
			} else if _, code := m.try("grep -qw " + limit.controller + " /sys/fs/cgroup/cgroup.controllers"); code != 0 {
				m.t.Logf("NOT RUN: the limit of %s: there is no such controller here", limit.controller)
				continue
			}
			if got := strings.TrimSpace(m.run("cat " + file)); got != limit.want {
				m.t.Errorf("%s is %s, not %s", file, got, limit.want)
			}
		}
	}
	return uid
}

// files checks who can read what.
func (m *machine) files(uid string) {
	m.t.Helper()
	for _, dir := range []string{"/var/lib/private/herd", "/var/log/private/herd"} {
		if got := strings.TrimSpace(m.run("stat -c '%a %u' " + dir)); got != "700 "+uid {
			m.t.Errorf("%s: %s", dir, got)
		}
		if got := m.run(fmt.Sprintf("find %s -perm /077 -o ! -uid %s", dir, uid)); got != "" {
			m.t.Errorf("of another user, or open to others: %s", got)
		}
	}
	if got := m.run("find /etc/herd -uid " + uid + " -o -type f -perm /022"); got != "" {
		m.t.Errorf("of the servers, or open to others: %s", got)
	}
	for _, look := range []string{
		"cat /etc/herd/secret", "cat /etc/herd/tokens.toml", "cat /etc/herd/tls/Alford-key.pem",
		"cat /var/log/herd/server-Alford.log", "ls /var/lib/herd/Alford",
	} {
		m.run(look)
		if _, code := m.try("setpriv --reuid=65533 --regid=65533 --clear-groups " + look); code == 0 {
			m.t.Errorf("another user: %s", look)
		}
	}
}

// tokens makes a token that all servers take after a reload, and one that they take no more after another one.
func (m *machine) tokens(servers []string) (token string) {
	m.t.Helper()
	reload := "systemctl reload herd@" + strings.Join(servers, " herd@")
	var made []string
	for _, name := range []string{"kept", "gone"} {
		out, errOut, _ := strings.Cut(m.run("herd token "+name+" --add --read --write '' --console"), "\n")
		if !strings.HasPrefix(out, "herd_") {
			m.t.Fatal(out, errOut)
		}
		made = append(made, out)
	}
	if got := strings.TrimSpace(m.run("stat -c '%a %U %G' /etc/herd/tokens.toml")); got != "640 root herd-config" {
		m.t.Errorf("tokens.toml is %s", got)
	}
	update := func(server, token string) string {
		return fmt.Sprintf("herd iamat kiwi 34.06,-118.44 --at %s --token %s", server, token)
	}
	for _, server := range servers {
		if _, code := m.try(update(server, made[1])); code == 0 {
			m.t.Errorf("%s takes a token before the reload", server)
		}
	}
	m.run("systemctl log-level debug\n" + reload + "\nsystemctl log-level info")
	for _, server := range servers {
		m.until(update(server, made[0]))
		m.until(update(server, made[1]))
	}
	m.run(`sed -i '/gone/d' /etc/herd/tokens.toml`)
	m.run(reload)
	for _, server := range servers {
		m.until("! " + update(server, made[1]))
		m.run(update(server, made[0]))
		m.is(server, "ActiveState", "active")
		m.is(server, "NRestarts", "0")
		if status := m.unit(server, "StatusText"); !strings.HasPrefix(status, "listening on ") {
			m.t.Errorf("the status of %s is %q after a reload", server, status)
		}
		const told = "herd@%[1]s.service: Got notification message.*"
		m.run(fmt.Sprintf("journalctl --no-pager --output=cat _PID=1 | sed -n '/"+told+"RELOADING=1/,$p' | grep '"+told+"READY=1'", server))
	}
	return made[0]
}

// logs lets the servers rotate their logs, and moves one.
func (m *machine) logs(servers []string, token string) {
	m.t.Helper()
	m.run("herd load --servers " + strings.Join(servers, ",") + " -c 3 --rate 2000 -d 3s --warmup 0 --token " + token)
	for _, server := range servers {
		m.until("ls /var/log/herd/server-" + server + "-*.log.gz")
	}
	m.run("mv /var/log/herd/server-Welsh.log /var/log/herd/moved.log\nsystemctl reload herd@Welsh")
	m.until("grep -q 'log file reopened' /var/log/herd/server-Welsh.log")
}

// certificates replaces the certificate of a server.
func (m *machine) certificates(server string) {
	m.t.Helper()
	m.run(strings.ReplaceAll(`
herd cert SERVER --force
chgrp herd-config /etc/herd/tls/SERVER-key.pem
chmod 640 /etc/herd/tls/SERVER-key.pem
systemctl reload herd@SERVER
`, "SERVER", server))
	m.until("grep -q 'certificates reloaded' /var/log/herd/server-" + server + ".log")
}

// failures stops and kills the process of a server.
func (m *machine) failures(server, token string) {
	m.t.Helper()
	for i, signal := range []string{"STOP", "KILL"} {
		m.run(fmt.Sprintf("kill -%s %s", signal, m.unit(server, "MainPID")))
		m.until(fmt.Sprintf("systemctl show --property=NRestarts herd@%s | grep -x NRestarts=%d", server, i+1))
		m.until("systemctl is-active herd@" + server)
		m.until("herd client kiwi --at " + server)
	}
	journal := m.run("journalctl --no-pager --output=cat _PID=1")
	if n := strings.Count(journal, "herd@"+server+".service: Watchdog timeout"); n != 1 {
		m.t.Errorf("the watchdog has ended %s %d times", server, n)
	}
}

// broken restarts a server with a herd.toml that has a mistake.
func (m *machine) broken(server, config string, write func(string)) {
	m.t.Helper()
	write(config + "mistake = 1\n")
	line := strings.Count(config, "\n") + 1
	if out, code := m.try("systemctl restart herd@" + server); code == 0 {
		m.t.Errorf("a broken herd.toml: %s", out)
	}
	m.until(fmt.Sprintf("systemctl show --value --property=StatusText herd@%s | grep -F 'herd.toml:%d:'", server, line))
	write(config)
	m.run("systemctl restart herd@" + server + "\nherd export --at " + server + " >/dev/null")
	m.is(server, "ActiveState", "active")
}
