package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
)

// unknown is shown for what a binary does not know about itself.
const unknown = "unknown"

// gnetPath is the module whose version is shown, too: its event loop runs the servers.
const gnetPath = "github.com/panjf2000/gnet/v2"

// givenCommit is the commit that whoever built the binary has named: -ldflags "-X main.givenCommit=...".
var givenCommit string

// build is what a binary knows about where it comes from. go build stamps the commit in a checkout, if git is there
// and -buildvcs is not false. go install module@version stamps the version, and one that is not a release has the
// commit in its name. A binary that was built from a tarball, in an image or in a git worktree knows givenCommit only.
type build struct {
	Version  string     `json:"version"`     // of the module, with +dirty if files were modified; "devel" if it is unknown
	Commit   *string    `json:"commit"`      // 40 or 12 hexadecimal digits, or as it was given
	Modified *bool      `json:"modified"`    // files differed from the commit
	Time     *time.Time `json:"commit_time"` // of the commit
	Go       string     `json:"go"`
	Gnet     *string    `json:"gnet"`
	Platform string     `json:"platform"`
}

// thisBuild is about this binary.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(info, givenCommit)
}

func buildOf(info *debug.BuildInfo, given string) build {
	b := build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
		b.fromVersion(strings.TrimSuffix(v, "+dirty"))
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = &s.Value
		case "vcs.modified":
			b.Modified = new(s.Value == "true")
		case "vcs.time":
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				b.Time = &t
			}
		}
	}
	if b.Commit == nil && given != "" {
		b.Commit = &given
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = &debug.Module{Path: m.Path, Version: m.Replace.Version}
		}
		if m.Path == gnetPath && m.Version != "" {
			b.Gnet = &m.Version
		}
	}
	return b
}

// fromVersion takes commit and time from a version such as v0.0.0-20261128161532-1d89d07c0ffe.
func (b *build) fromVersion(version string) {
	if !module.IsPseudoVersion(version) {
		return
	}
	if commit, err := module.PseudoVersionRev(version); err == nil {
		b.Commit = &commit
	}
	if t, err := module.PseudoVersionTime(version); err == nil {
		b.Time = &t
	}
}

// commit is the commit for log and status; "" if it is unknown.
func (b *build) commit() string {
	if b.Commit == nil {
		return ""
	}
	return *b.Commit
}

// String has three lines. Other programs read the first one, which begins with "herd" and the version.
func (b *build) String() string {
	commit, gnet := unknown, unknown
	if b.Commit != nil {
		commit = *b.Commit
		if b.Modified != nil && *b.Modified {
			commit += ", modified"
		}
		if b.Time != nil {
			commit += ", " + b.Time.UTC().Format("2006-01-02 15:04:05 UTC")
		}
	}
	if b.Gnet != nil {
		gnet = *b.Gnet
	}
	return fmt.Sprintf("herd %s\ncommit %s\n%s, gnet %s, %s\n", b.Version, commit, b.Go, gnet, b.Platform)
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Short: "Print the version, and which commit it was built from",
		Long: "Print the version of this binary, the commit it was built from, whether files\n" +
			"differed from that commit, and the versions of Go and of gnet, the event loop.\n" +
			"A binary that was built without git knows its commit only if that was given, as\n" +
			"by make build COMMIT=...",
		Example: "  herd version\n  herd version --json", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			b := thisBuild()
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(b)
			}
			_, err := fmt.Fprint(c.OutOrStdout(), b.String())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON; what is unknown is null")
	return c
}
