package main

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Files of tests are not analyzed: tests attack. They speak TLS 1.0, trust any certificate, know secrets and name
// files, on the machine of who runs them.

// laboratory are the packages that are not in bin/herd: the study, the simulation, what tests share, and what makes
// the embedded data. Like tests, they run on the machine of who builds them, on files and commands that they name.
var laboratory = regexp.MustCompile(`^serverherd/(cmd/study|cmd/herd/e2e|cmd/herd/console/site/coastline|` +
	`cmd/herd/jetstream/natstest|herd/herdtest|herd/sim|places/generate|places/google/googletest|` +
	`reactor/memreactor|reactor/reactortest)(/|$)`)

// notInLaboratory are rules about what others could make a program do: unhandled errors (G104), wrapped numbers
// (G115), commands (G204, G702), files (G304) and their modes (G301, G302, G306); and chance that can be guessed
// (G404), which is what makes a simulation repeatable.
var notInLaboratory = []string{"G104", "G115", "G204", "G301", "G302", "G304", "G306", "G404", "G702"}

// ruledOut reports whether a rule has nothing to say about a finding.
func ruledOut(pass *analysis.Pass, files []*ast.File, d analysis.Diagnostic) bool {
	switch {
	case laboratory.MatchString(pass.Pkg.Path()):
		return slices.Contains(notInLaboratory, d.Category)

	// An unhandled error of Close: what was read, or is given up, is closed without asking how that went. A file that
	// must be whole is not: where certificates, tokens, compressed logs, the history and the files of herd load are
	// closed, the error is handled. Logs and the count of lookups are appended to, and the error of each write is.
	case d.Category == "G104":
		return called(files, d) == "Close"

	// A length, a count or a number in a checked range that becomes uint64. It is not negative, so it keeps its value.
	case d.Category == "G115":
		return strings.Contains(d.Message, "conversion int -> uint64 ")
	}
	return false
}

// called is the name of the function or method that is called where a finding is.
func called(files []*ast.File, d analysis.Diagnostic) (name string) {
	for _, file := range files {
		if d.Pos < file.FileStart || d.Pos > file.FileEnd {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && call.Pos() == d.Pos {
				if method, ok := call.Fun.(*ast.SelectorExpr); ok {
					name = method.Sel.Name
				}
				return false
			}
			return true
		})
	}
	return name
}
