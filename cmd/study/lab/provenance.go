package lab

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os/exec"
	"path"
	"strings"
	"time"
)

// ruleFiles hold what is fixed before the first run: the rules, how they are computed, the order of runs, and which
// comparisons the summary names. They are in the binary, so that it can tell whether a commit has the same.
//
//go:embed rules.go statistics.go comparisons.go workloads.go growth.go targets.go plan.go
var ruleFiles embed.FS

// rulesFolder is the directory of ruleFiles in the repository.
const rulesFolder = "cmd/study/lab"

// Stated says where the rules of a measurement are, so that anyone can check that they are older than it.
type Stated struct {
	Commit string    `json:"commit,omitempty"` // that last changed the rules; "" if unknown
	Date   time.Time `json:"date,omitzero"`    // of the commit
	// Changed means that the rules of the binary are not those of the commit.
	Changed bool `json:"changed,omitempty"`
	// Digest is that of the rules of the binary; "" in older data.
	Digest string `json:"digest,omitempty"`
}

// digestOfRules is the SHA-256 of the rules of this binary.
func digestOfRules() string {
	sum := sha256.New()
	files, _ := ruleFiles.ReadDir(".") // it is embedded
	for _, f := range files {
		text, _ := ruleFiles.ReadFile(f.Name())
		fmt.Fprintf(sum, "%s %d\n%s", f.Name(), len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// stated asks git, in the checkout of a directory, for the commit that holds the rules of this binary.
func stated(dir string) Stated {
	s := Stated{Digest: digestOfRules()}
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
		return string(out), err
	}
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return s
	}
	dir = strings.TrimSpace(top)
	files, err := ruleFiles.ReadDir(".")
	if err != nil {
		return s
	}
	log := []string{"log", "-1", "--format=%H %cI", "--"}
	for _, f := range files {
		log = append(log, path.Join(rulesFolder, f.Name()))
	}
	line, err := git(log...)
	commit, date, ok := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || !ok {
		return s
	}
	s.Commit = commit
	s.Date, _ = time.Parse(time.RFC3339, date)
	s.Date = s.Date.UTC()
	for _, f := range files {
		ours, _ := ruleFiles.ReadFile(f.Name())
		theirs, err := git("show", commit+":"+path.Join(rulesFolder, f.Name()))
		s.Changed = s.Changed || err != nil || !bytes.Equal(ours, []byte(theirs))
	}
	return s
}

// text says what a reader can check, and command how.
func (s Stated) text() string {
	switch {
	case s.Commit == "":
		return "the commit of the rules is unknown"
	case s.Changed:
		return fmt.Sprintf("the rules differ from those of commit %s: they were changed and not committed", s.short())
	}
	return fmt.Sprintf("the rules are those of commit %s of %s", s.short(), s.Date.Format("2006-01-02 15:04 UTC"))
}

// shown reports whether the commit has the rules.
func (s Stated) shown() bool { return s.Commit != "" && !s.Changed }

// since shows how the rules of this binary differ from those of a measurement; "" if they do not, or nothing can be
// shown.
func (s Stated) since() string {
	if !s.shown() || s.Digest == "" || s.Digest == digestOfRules() {
		return ""
	}
	var names []string
	files, _ := ruleFiles.ReadDir(".") // it is embedded
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".go"))
	}
	return "git diff " + s.short() + " -- " + rulesFolder + "/{" + strings.Join(names, ",") + "}.go"
}

// command shows the rules of a measurement; "" if they cannot be shown.
func (s Stated) command() string {
	if !s.shown() {
		return ""
	}
	return "git show " + s.short() + ":" + rulesFolder + "/rules.go"
}

func (s Stated) short() string { return s.Commit[:min(12, len(s.Commit))] }
