package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"serverherd/cmd/herd/e2e/processtest"
)

// What a binary says of itself, by what the ways to build it leave in it, as go version -m shows that.
func TestBuildOf(t *testing.T) {
	const full = "1d89d07c0ffe2d1bd1b0d4e8a1a6b1a2c3d4e5f6"
	const gnet = "dep\tgithub.com/panjf2000/gnet/v2\tv2.10.0\n"
	const here = `"go":"GO","gnet":"v2.10.0","platform":"PLATFORM"}`
	const given = "0123456789abcdef0123456789abcdef01234567"
	tests := []struct{ name, info, text, json string }{
		{"a checkout", "mod\tserverherd\tv0.0.0-20261128161532-1d89d07c0ffe\n" + gnet +
			"build\tvcs=git\nbuild\tvcs.revision=" + full + "\nbuild\tvcs.time=2026-11-28T16:15:32Z\nbuild\tvcs.modified=false\n",
			"herd v0.0.0-20261128161532-1d89d07c0ffe\ncommit " + full + ", 2026-11-28 16:15:32 UTC\n",
			`{"version":"v0.0.0-20261128161532-1d89d07c0ffe","commit":"` + full + `","modified":false,"commit_time":"2026-11-28T16:15:32Z",` + here},
		{"a checkout of a release, with modified files", "mod\tserverherd\tv1.2.3+dirty\n" + gnet +
			"build\tvcs.revision=" + full + "\nbuild\tvcs.time=2026-11-28T17:15:32+01:00\nbuild\tvcs.modified=true\n",
			"herd v1.2.3+dirty\ncommit " + full + ", modified, 2026-11-28 16:15:32 UTC\n",
			`{"version":"v1.2.3+dirty","commit":"` + full + `","modified":true,"commit_time":"2026-11-28T17:15:32+01:00",` + here},
		{"an earlier Go in a checkout", "mod\tserverherd\t(devel)\n" + gnet + "build\tvcs.revision=" + full + "\n",
			"herd devel\ncommit " + full + "\n", `{"version":"devel","commit":"` + full + `","modified":null,"commit_time":null,` + here},
		{"go install module@version", "mod\tserverherd\tv1.2.3\th1:AAAA=\n" + gnet, "herd v1.2.3\ncommit unknown\n",
			`{"version":"v1.2.3","commit":null,"modified":null,"commit_time":null,` + here},
		{"go install module@commit", "mod\tserverherd\tv1.2.4-0.20261128161532-1d89d07c0ffe\th1:AAAA=\n" + gnet,
			"herd v1.2.4-0.20261128161532-1d89d07c0ffe\ncommit 1d89d07c0ffe, 2026-11-28 16:15:32 UTC\n",
			`{"version":"v1.2.4-0.20261128161532-1d89d07c0ffe","commit":"1d89d07c0ffe","modified":null,"commit_time":"2026-11-28T16:15:32Z",` + here},
		{"a tarball, -buildvcs=false, -trimpath", "mod\tserverherd\t(devel)\n" + gnet + "build\t-trimpath=true\n",
			"herd devel\ncommit unknown\n", `{"version":"devel","commit":null,"modified":null,"commit_time":null,` + here},
		{"given, an image", "mod\tserverherd\t(devel)\n" + gnet + "build\t-trimpath=true\n",
			"herd devel\ncommit " + given + "\n", `{"version":"devel","commit":"` + given + `","modified":null,"commit_time":null,` + here},
		{"given, but git knows better", "mod\tserverherd\t(devel)\n" + gnet + "build\tvcs.revision=" + full + "\n",
			"herd devel\ncommit " + full + "\n", `{"version":"devel","commit":"` + full + `","modified":null,"commit_time":null,` + here},
		{"gnet from elsewhere", "mod\tserverherd\t(devel)\n" + "dep\tgithub.com/panjf2000/gnet/v2\tv2.9.0\n=>\t./gnet\tv2.10.0\th1:AAAA=\n",
			"herd devel\ncommit unknown\n", `{"version":"devel","commit":null,"modified":null,"commit_time":null,` + here},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			info, err := debug.ParseBuildInfo("go\tgo1.26.8\npath\tserverherd/cmd/herd\n" + test.info)
			if err != nil {
				t.Fatal(err)
			}
			commit := ""
			if strings.HasPrefix(test.name, "given") {
				commit = given
			}
			b := buildOf(info, commit)
			last := runtime.Version() + ", gnet v2.10.0, " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
			if got := b.String(); got != test.text+last {
				t.Errorf("it says\n%s\nwant\n%s", got, test.text+last)
			}
			got, err := json.Marshal(b)
			want := strings.NewReplacer("GO", runtime.Version(), "PLATFORM", runtime.GOOS+"/"+runtime.GOARCH).Replace(test.json)
			if err != nil || string(got) != want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want)
			}
		})
	}
	b := buildOf(&debug.BuildInfo{}, "")
	if got := b.String(); !strings.HasPrefix(got, "herd devel\ncommit unknown\n") || !strings.Contains(got, ", gnet unknown, ") {
		t.Errorf("without any information: %q", got)
	}
}

// The command, the flag, the status, the log and the metrics of one binary say the same.
func TestVersionEverywhere(t *testing.T) {
	t.Parallel()
	h := processtest.StartHerd(t, "", "Alford")
	text, _, code := processtest.Command(t, h.Dir, "", "version")
	if flag, _, _ := processtest.Command(t, h.Dir, "", "--version"); code != 0 || flag != text {
		t.Errorf("exit code %d, --version %q, version %q", code, flag, text)
	}
	out, _, _ := processtest.Command(t, h.Dir, "", "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || b.String() != text {
		t.Errorf("%v: --json %s, version %q", err, out, text)
	}
	if s := h.Status("Alford"); s.Version != b.Version || s.Commit != b.commit() || s.Go != b.Go {
		t.Errorf("the status has %q, %q, %q, want %+v", s.Version, s.Commit, s.Go, b)
	}
	log, err := os.ReadFile(filepath.Join(h.Dir, "logs", "server-Alford.log"))
	if err != nil {
		t.Fatal(err)
	}
	var started struct{ Version, Commit, Go string }
	for line := range bytes.Lines(log) {
		if bytes.Contains(line, []byte(`"started"`)) {
			err = json.Unmarshal(line, &started)
		}
	}
	if err != nil || started.Version != b.Version || started.Commit != b.commit() || started.Go != b.Go {
		t.Errorf("%v: the log has %+v, want %+v", err, started, b)
	}
	labels := `commit="` + b.commit() + `",engine="loop",goversion="` + b.Go + `",version="` + b.Version + `"`
	client, url := h.Console("Alford")
	r, err := client.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var page bytes.Buffer
	if _, err := page.ReadFrom(r.Body); err != nil || !strings.Contains(page.String(), "herd_build_info{"+labels+"} 1\n") {
		t.Errorf("%v: no herd_build_info{%s}", err, labels)
	}
}
