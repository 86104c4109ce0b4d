// Gosec looks for security problems, as part of go vet: go vet -vettool=$(go tool -n gosec) ./...
//
// It is github.com/securego/gosec/v2 with all its rules. Its own command would link the clients of three AI services.
// go vet keeps the findings in the build cache, so what did not change is not analyzed again.
//
// An exception stands on the line of a finding, in a comment right before it, or in the comment of a function, and
// says why the code is safe:
//
//	// #nosec G304 -- the operator names the file
//
// Unlike those of gosec, it must name its rules and have a reason, and one that excuses nothing is itself a finding.
// Where a rule has nothing to say is in rules.go.
package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"

	"github.com/securego/gosec/v2/goanalysis"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/unitchecker"
)

func main() {
	unitchecker.Main(&analysis.Analyzer{
		Name: goanalysis.Analyzer.Name, Doc: goanalysis.Analyzer.Doc, Requires: goanalysis.Analyzer.Requires, Run: run,
	})
}

// exception is a comment that excuses findings of its rules in some lines.
type exception struct {
	pos         token.Pos
	file        string
	first, last int
	rules       []string
	used        []string // of the rules
}

var excuse = regexp.MustCompile(`^// #nosec (G\d{3}(?: G\d{3})*) -- \S`)

func run(pass *analysis.Pass) (any, error) {
	var exceptions []*exception
	bare := *pass // for gosec: without comments, so that no exception works by itself
	bare.Files = nil
	for _, file := range pass.Files {
		if strings.HasSuffix(pass.Fset.File(file.Pos()).Name(), "_test.go") {
			continue // see rules.go
		}
		exceptions = append(exceptions, exceptionsOf(pass, file)...)
		f := *file
		f.Comments = nil
		bare.Files = append(bare.Files, &f)
	}
	bare.Report = func(d analysis.Diagnostic) {
		at, excused := pass.Fset.Position(d.Pos), false
		if strings.HasSuffix(at.Filename, "_test.go") || ruledOut(pass, bare.Files, d) {
			return
		}
		for _, e := range exceptions {
			if e.file == at.Filename && e.first <= at.Line && at.Line <= e.last && slices.Contains(e.rules, d.Category) {
				e.used = append(e.used, d.Category)
				excused = true
			}
		}
		if !excused {
			pass.Report(d)
		}
	}
	if _, err := goanalysis.Analyzer.Run(&bare); err != nil {
		return nil, err
	}
	for _, e := range exceptions {
		for _, rule := range e.rules {
			if !slices.Contains(e.used, rule) {
				pass.Reportf(e.pos, "#nosec %s excuses nothing", rule)
			}
		}
	}
	return nil, nil
}

// exceptionsOf are the exceptions of a file. It reports those without rules or a reason.
func exceptionsOf(pass *analysis.Pass, file *ast.File) (all []*exception) {
	line := func(at token.Pos) int { return pass.Fset.Position(at).Line }
	for _, group := range file.Comments {
		last := line(group.End()) + 1
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Doc == group {
				last = line(f.End())
			}
		}
		for _, c := range group.List {
			if !strings.Contains(c.Text, "#nosec") {
				continue
			}
			m := excuse.FindStringSubmatch(c.Text)
			if m == nil {
				pass.Reportf(c.Pos(), "an exception has rules and a reason: // #nosec G304 -- the reason")
				continue
			}
			all = append(all, &exception{pos: c.Pos(), file: pass.Fset.Position(c.Pos()).Filename,
				first: line(c.Pos()), last: last, rules: strings.Fields(m[1])})
		}
	}
	return all
}
