package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/e2e/processtest"
)

// pasted runs command lines in a shell in a herd's directory.
type pasted struct {
	*processtest.Herd
	env []string
}

func newPasted(t *testing.T, h *processtest.Herd) *pasted {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bin")
	for _, err := range []error{os.Mkdir(bin, 0o700), os.Symlink(processtest.Binary, filepath.Join(bin, "herd"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return &pasted{h, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))}
}

func (p *pasted) command(line string) *exec.Cmd {
	c := exec.Command("sh", "-c", line)
	c.Dir, c.Env = p.Dir, p.env
	return c
}

// run runs a line and returns what it wrote to standard output.
func (p *pasted) run(t *testing.T, line string) (out string, err error) {
	t.Helper()
	c := p.command(line)
	var stdout, stderr processtest.Output
	c.Stdout, c.Stderr = &stdout, &stderr
	if err = c.Run(); err != nil {
		err = fmt.Errorf("%s: %w: %s%s", line, err, &stdout, &stderr)
	}
	return stdout.String(), err
}

// examples returns the lines of the Examples of all visible commands, without duplicates.
func examples(c *cobra.Command) (lines []string) {
	if c.Hidden {
		return nil // a removed command
	}
	for line := range strings.Lines(c.Example) {
		lines = append(lines, strings.TrimSpace(line))
	}
	for _, sub := range c.Commands() {
		for _, line := range examples(sub) {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// Every command has examples, and they work.
func TestExamples(t *testing.T) {
	t.Parallel()
	h, listeners := processtest.NewHerd(t, "[clients]\ntokens = \"tokens.toml\"\nopen = true\n", processtest.Names...)
	writeTokens(t, filepath.Join(h.Dir, "tokens.toml"), "") // for the examples of herd token
	for _, name := range processtest.Names {
		h.Start(name, listeners[name]...)
	}
	h.UntilLive()
	p := newPasted(t, h)
	tested := map[string]bool{} // commands, and whole lines
	for _, line := range examples(newRoot()) {
		words := strings.Fields(line)
		verb := words[slices.Index(words, "herd")+1] // of printf ... > file: the first word
		tested[verb], tested[line] = true, true
		t.Run(line, func(t *testing.T) {
			switch verb {
			case "up", "serve":
				exampleOfServers(t, line)
			case "iamat":
				p.exampleOfIamat(t, line)
			case "load":
				p.must(t, shortened(line))
			case "demo":
				p.must(t, line+" -d 200ms")
			case "watch":
				p.exampleOfWatch(t, line)
			default:
				p.must(t, line)
			}
		})
	}
	for _, c := range newRoot().Commands() {
		if !c.Hidden && !tested[c.Name()] && c.Name() != "help" && c.Name() != "completion" { // cobra's own
			t.Errorf("%s has no example", c.Name())
		}
	}
	for _, document := range []string{"../../README.md", "README.md", "../../places/README.md"} {
		t.Run(document, func(t *testing.T) { p.document(t, document, tested) })
	}
}

// shortened makes a load command short.
func shortened(line string) string {
	line += " -d 200ms"
	if !strings.Contains(line, "--replication") {
		line += " --warmup 0s"
	}
	return line
}

// must runs a line that must succeed. It retries a question about a client, because an update to another server may be
// on its way.
func (p *pasted) must(t *testing.T, line string) (out string) {
	t.Helper()
	out, err := p.run(t, line)
	asks := strings.Contains(line, "whatsat") || strings.Contains(line, "herd client") || strings.Contains(line, "herd trace")
	for deadline := time.Now().Add(20 * time.Second); err != nil && asks && time.Now().Before(deadline); {
		out, err = p.run(t, line)
	}
	if err != nil {
		t.Error(err)
	}
	return out
}

// exampleOfIamat runs a line with updates. The same clients were updated two seconds before; nevertheless
// WHATSAT finds the example's location afterwards. Times in the example may be whole seconds, so that may
// take a second.
func (p *pasted) exampleOfIamat(t *testing.T, line string) {
	wrong, runs := "", 0
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		acks := strings.Split(strings.TrimSpace(p.must(t, line)), "\n")
		wrong = ""
		for _, ack := range acks {
			f := strings.Fields(ack)
			if len(f) != 6 || f[0] != "AT" {
				t.Fatalf("unexpected output %q", ack)
			}
			if got, _, _ := strings.Cut(p.Ask(f[1], "WHATSAT "+f[3]+" 1 0\n"), "\n"); got != ack {
				wrong = fmt.Sprintf("printed %s, stored %s", ack, got)
			}
			p.Ask(f[1], fmt.Sprintf("IAMAT %s +1+1 %d\n", f[3], time.Now().Unix()-2))
		}
		if runs++; wrong == "" && runs > 1 {
			return
		}
	}
	t.Error(wrong)
}

// exampleOfWatch runs a line that shows updates until it has shown one. Somebody must move meanwhile.
func (p *pasted) exampleOfWatch(t *testing.T, line string) {
	t.Helper()
	ended := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
				p.Ask("Alford", fmt.Sprintf("IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 %.6f\n", float64(time.Now().UnixMicro())/1e6))
			}
		}
	})
	out := p.must(t, line+" --count 1")
	close(ended)
	mover.Wait()
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "kiwi.cs.ucla.edu") {
		t.Errorf("%s: output %q", line, out)
	}
}

// exampleOfServers runs a line that starts servers and the commands that it suggests, and stops it.
func exampleOfServers(t *testing.T, line string) {
	h, listeners := processtest.NewHerd(t, "", processtest.Names...)
	for _, ls := range listeners {
		for _, l := range ls {
			l.Close()
		}
	}
	p := newPasted(t, h)
	c := p.command("exec " + line)
	var out processtest.Output
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		if t.Failed() {
			t.Logf("output:\n%s", &out)
		}
	})
	processtest.Eventually(t, "it runs", func() bool {
		return strings.Contains(out.String(), "Ctrl-C stops the herd") || strings.Contains(out.String(), "\tstarted\t")
	})
	for said := range strings.Lines(out.String()) {
		_, next, ok := strings.Cut(said, "|   herd ")
		switch verb, _, _ := strings.Cut(strings.TrimSpace(next), " "); {
		case !ok:
		case verb == "top": // without --once it needs a terminal
			p.must(t, "herd top --once")
		case verb == "demo": // it goes on until Ctrl-C
			p.must(t, "herd demo -d 200ms")
		case line == "herd up" || verb != "status" && verb != "trace": // these fail without the other servers
			p.must(t, "herd "+next)
		}
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("%v: %s", err, &out)
	}
}

// document runs the commands of a document but those that were tested already. A condition of a load may
// not hold here.
func (p *pasted) document(t *testing.T, path string, tested map[string]bool) {
	n := 0
	for _, line := range pastedLines(t, path) {
		n++
		switch verb := strings.Fields(line)[1]; {
		case tested[line]:
		case verb == "load":
			if _, err := p.run(t, shortened(line)); err != nil && strings.Contains(err.Error(), "exit status 2") {
				t.Error(err)
			}
		case verb == "demo":
			p.must(t, line+" -d 200ms")
		case verb == "watch":
			p.exampleOfWatch(t, line)
		default:
			p.must(t, line)
		}
	}
	if n < 2 {
		t.Errorf("%d commands found", n)
	}
}

// pastedLines are the command lines in a document.
func pastedLines(t *testing.T, path string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\$ bin/(herd \w+[^#|\n]*)`).FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, strings.TrimSpace(m[1]))
	}
	return lines
}

// Every command is in the table of the operator's manual and has an example there.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := pastedLines(t, "README.md")
	for _, c := range newRoot().Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" { // cobra's own
			continue
		}
		if use, _, _ := strings.Cut(c.Use, " |"); !strings.Contains(string(text), "\n| `herd "+use+"`") {
			t.Errorf("README.md: herd %s is not in the table of commands", use)
		}
		if !slices.ContainsFunc(examples, func(line string) bool { return strings.Fields(line)[1] == c.Name() }) {
			t.Errorf("README.md: herd %s has no example", c.Name())
		}
	}
	if len(examples) < 12 {
		t.Errorf("README.md: %d examples", len(examples))
	}
}
