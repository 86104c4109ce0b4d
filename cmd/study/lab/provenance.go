package lab

import (
	"bytes"
	"embed"
	"fmt"
	"os/exec"
	"path"
	"strings"
	"time"
)

// ruleFiles hold what is fixed before the first run: the rules, how they are computed, and which comparisons
// the summary names. They are in the binary, so that it can tell whether a commit has the same.
//
//go:embed rules.go statistics.go comparisons.go workloads.go
var ruleFiles embed.FS

// rulesFolder is the directory of ruleFiles in the repository.
const rulesFolder = "cmd/study/lab"

// Stated says where the rules of a measurement are, so that anyone can check that they are older than it.
type Stated struct {
	Commit string    `json:"commit,omitempty"` // that last changed the rules; "" if unknown
	Date   time.Time `json:"date,omitzero"`    // of the commit
	// Changed means that the rules of the binary are not those of the commit.
	Changed bool `json:"changed,omitempty"`
}

// stated asks git, in the checkout of a directory, for the commit that holds the rules of this binary.
func stated(dir string) Stated {
	git := func(args ...string) (string, error) {
		out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).Output()
		return string(out), err
	}
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return Stated{}
	}
	dir = strings.TrimSpace(top)
	files, err := ruleFiles.ReadDir(".")
	if err != nil {
		return Stated{}
	}
	log := []string{"log", "-1", "--format=%H %cI", "--"}
	for _, f := range files {
		log = append(log, path.Join(rulesFolder, f.Name()))
	}
	line, err := git(log...)
	commit, date, ok := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || !ok {
		return Stated{}
	}
	s := Stated{Commit: commit}
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

// command shows the rules of a measurement; "" if they cannot be shown.
func (s Stated) command() string {
	if s.Commit == "" || s.Changed {
		return ""
	}
	return "git show " + s.short() + ":" + rulesFolder + "/rules.go"
}

func (s Stated) short() string { return s.Commit[:min(12, len(s.Commit))] }
