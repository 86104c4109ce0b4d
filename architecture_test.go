package serverherd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "serverherd/"

// layer is what a package, or all packages below one, may import and do. The first match counts. Paths are relative to
// the module; "x/..." matches x and all packages below it.
type layer struct {
	path    string
	ours    []string          // packages of this module that it may import
	stdOnly bool              // no imports of other modules
	never   map[string]string // imports that are forbidden in any case, with the reason
	loop    bool              // it runs on the loop, or is pure: see onLoop
	threads string            // the only file that may use goroutines
	hashes  string            // the only file that may use hash/maphash: what depends on its seed is not seen outside
}

const sockets = "only engines may use sockets"

var (
	noSockets = map[string]string{
		"net": sockets, "net/http": sockets, "golang.org/x/sys/unix": sockets, "syscall": sockets,
	}
	noNetwork = map[string]string{
		"net": sockets, "net/http": sockets,
		"github.com/panjf2000/gnet/v2": "only cmd/herd chooses the engine",
	}
	noEngine = map[string]string{
		"net": sockets, "net/http": sockets, "golang.org/x/sys/unix": sockets, "syscall": sockets,
		"github.com/panjf2000/gnet/v2": "only cmd/herd chooses the engine",
	}
	noFiles = map[string]string{
		"net": sockets, "net/http": sockets, "golang.org/x/sys/unix": sockets, "syscall": sockets,
		"github.com/panjf2000/gnet/v2": "only cmd/herd chooses the engine",
		"os":                           "a disk blocks: herd/config reads files before the loop runs, and herd/journal off the loop",
	}
)

var layers = []layer{
	{path: "protocol/bom", stdOnly: true, never: noSockets, loop: true},
	{path: "protocol", ours: []string{"protocol/bom"}, stdOnly: true, never: noSockets, loop: true},
	{path: "reactor", stdOnly: true, never: noSockets, loop: true, threads: "queue.go"},
	{path: "reactor/memreactor", ours: []string{"reactor"}, stdOnly: true, never: noSockets, loop: true},
	{path: "reactor/sockets", ours: []string{"reactor"}},
	{path: "reactor/...", ours: []string{"reactor", "reactor/sockets"}},
	{path: "places", ours: []string{"protocol/bom"}, stdOnly: false},
	{path: "places/...", ours: []string{"protocol/bom", "places/..."}},
	{path: "herd/feed", ours: []string{"protocol"}, never: noFiles, loop: true, hashes: "index.go"},
	{path: "herd/recorder", ours: []string{"protocol"}, stdOnly: true, never: noFiles, loop: true},
	{path: "herd/link", ours: []string{"protocol", "herd/feed"}, stdOnly: true, never: noFiles, loop: true},
	{path: "herd/access", ours: []string{"protocol/bom", "protocol"}, never: noFiles, loop: true},
	{path: "herd/config", ours: []string{"protocol/bom", "protocol", "places", "reactor"}, never: noNetwork, loop: true},
	{path: "herd", ours: []string{"protocol", "places", "reactor", "herd/access", "herd/config", "herd/feed", "herd/link", "herd/recorder"},
		never: noFiles, loop: true},
	{path: "herd/journal/...", ours: []string{"protocol", "herd"}, never: noNetwork},
	{path: "herd/sim/mutants", stdOnly: true},
	{path: "herd/...", ours: []string{"protocol", "places", "reactor", "reactor/memreactor", "herd/..."},
		never: noEngine, loop: true},
	{path: "cmd/herd/jetstream", ours: []string{"places", "reactor", "herd/config", "herd"}},
	{path: "cmd/...", ours: []string{"..."}},
}

// onlyIn are modules that one package of this module may import: pattern to package.
var onlyIn = map[string]string{
	"github.com/nats-io/...": "cmd/herd/jetstream",
}

// program is a binary with the packages that it must not contain, whichever package imports them.
type program struct {
	path  string            // below the module
	never map[string]string // full import paths, or patterns, with the reason
}

const laboratory = "only the study and tests need it: see cmd/study"

var programs = []program{
	{path: "cmd/herd", never: map[string]string{
		module + "cmd/study/...": laboratory, module + "herd/sim": laboratory, module + "herd/herdtest": laboratory,
		module + "reactor/memreactor": laboratory, module + "reactor/reactortest": laboratory,
		"gonum.org/v1/...": laboratory, "testing": laboratory,
		"github.com/nats-io/nats-server/...": "only tests and demonstrations need it: see cmd/herd/jetstream/natstest",
	}},
}

// violations follows all imports and returns the path to each forbidden package.
func (p program) violations(packages map[string]listed) (found []string) {
	type reached struct{ path, how string }
	seen := map[string]bool{}
	for next := []reached{{module + p.path, p.path}}; len(next) > 0; next = next[1:] {
		for _, imported := range packages[next[0].path].Imports {
			if seen[imported] {
				continue
			}
			seen[imported] = true
			how := next[0].how + " -> " + strings.TrimPrefix(imported, module)
			allowed := true
			for _, pattern := range slices.Sorted(maps.Keys(p.never)) {
				if fits(imported, pattern) {
					allowed = false
					found = append(found, how+": "+p.never[pattern])
				}
			}
			if allowed {
				next = append(next, reached{imported, how})
			}
		}
	}
	return found
}

func fits(path, pattern string) bool {
	below, all := strings.CutSuffix(pattern, "...")
	return path == pattern || all && (strings.HasPrefix(path, below) || path+"/" == below)
}

func layerOf(path string) *layer {
	for i := range layers {
		if fits(path, layers[i].path) {
			return &layers[i]
		}
	}
	return nil
}

// The reasons for the rules of the loop.
const (
	whyThreads    = "one goroutine owns all state; use DeferToThread for what blocks"
	whyClock      = "time is an input: use the Clock, so that a simulation is reproducible"
	whyRandomness = "randomness is an input: use a *rand.Rand, so that a run is reproducible"
	whyOrder      = "the order of a map differs from run to run: use a slice, or explain on this line or " +
		"the one before why it does not matter, as // order: ..."
)

// loopImports are packages that must not be used on the loop.
var loopImports = map[string]string{
	"sync": whyThreads, "sync/atomic": whyThreads,
	"crypto/rand": whyRandomness, "hash/maphash": whyRandomness,
}

var clockFuncs = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer",
	"NewTicker"}

var orderComment = regexp.MustCompile(`(?m)^order: \S`)

// source is a parsed and type-checked package.
type source struct {
	path  string // below the module
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// violations returns the violations of a package, each with its position and reason.
func (s *source) violations(l *layer, std func(path string) bool) []string {
	var found []string
	for _, file := range s.files {
		add := func(at token.Pos, what, why string) {
			p := s.fset.Position(at)
			b := fmt.Sprintf("%s/%s:%d: %s: %s", s.path, filepath.Base(p.Filename), p.Line, what, why)
			if !slices.Contains(found, b) {
				found = append(found, b)
			}
		}
		name := filepath.Base(s.fset.Position(file.Package).Filename)
		threads := name == l.threads
		s.imports(file, l, name, std, add)
		if l.loop {
			s.onLoop(file, threads, add)
		}
	}
	return found
}

func (s *source) imports(file *ast.File, l *layer, name string, std func(string) bool,
	add func(token.Pos, string, string)) {
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		what := "imports " + path
		if why, never := l.never[path]; never {
			add(spec.Pos(), what, why)
		}
		if why, never := loopImports[path]; never && l.loop && !(name == l.threads && why == whyThreads) &&
			!(name == l.hashes && path == "hash/maphash") {
			add(spec.Pos(), what, why)
		}
		for _, pattern := range slices.Sorted(maps.Keys(onlyIn)) {
			if fits(path, pattern) && s.path != onlyIn[pattern] {
				add(spec.Pos(), what, "only "+onlyIn[pattern]+" may import "+pattern)
			}
		}
		own, ours := strings.CutPrefix(path, module)
		switch {
		case ours && !slices.ContainsFunc(l.ours, func(p string) bool { return fits(own, p) }):
			add(spec.Pos(), what, fmt.Sprintf("of this module %s may import only %v", s.path, l.ours))
		case !ours && l.stdOnly && !std(path):
			add(spec.Pos(), what, s.path+" may import only the standard library")
		}
	}
}

// onLoop checks that a package uses no goroutines, clock, global randomness or map order.
func (s *source) onLoop(file *ast.File, threads bool, add func(token.Pos, string, string)) {
	sorted := map[ast.Node]bool{} // arguments of slices.Sorted and its kind
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if !threads {
				add(n.Pos(), "starts a goroutine", whyThreads)
			}
		case *ast.SelectStmt:
			if !threads {
				add(n.Pos(), "uses select", whyThreads)
			}
		case *ast.RangeStmt:
			if s.is(n.X, isMap) && !s.excused(file, n.Pos()) {
				add(n.Pos(), "ranges over a map", whyOrder)
			}
		case *ast.CallExpr:
			if f := s.function(n.Fun); f != nil && f.Pkg().Path() == "slices" &&
				strings.HasPrefix(f.Name(), "Sorted") {
				sorted[n.Args[0]] = true
			}
			if f := s.function(n.Fun); f != nil && f.Pkg().Path() == "maps" &&
				slices.Contains([]string{"Keys", "Values", "All"}, f.Name()) &&
				!sorted[n] && !s.excused(file, n.Pos()) {
				add(n.Pos(), "iterates over a map with maps."+f.Name(), whyOrder)
			}
		case *ast.Ident:
			s.name(n, add)
		}
		if x, ok := n.(ast.Expr); ok && !threads && s.is(x, isChannel) {
			add(x.Pos(), "has a channel", whyThreads)
		}
		return true
	})
}

// name checks whether an identifier refers to the clock or to global randomness.
func (s *source) name(id *ast.Ident, add func(token.Pos, string, string)) {
	f, ok := s.info.Uses[id].(*types.Func)
	if !ok || f.Pkg() == nil || f.Signature().Recv() != nil {
		return
	}
	switch what := "uses " + f.Pkg().Path() + "." + f.Name(); f.Pkg().Path() {
	case "time":
		if slices.Contains(clockFuncs, f.Name()) {
			add(id.Pos(), what, whyClock)
		}
	case "math/rand", "math/rand/v2":
		if !strings.HasPrefix(f.Name(), "New") {
			add(id.Pos(), what, whyRandomness)
		}
	}
}

// function returns the package-level function that x refers to, or nil.
func (s *source) function(x ast.Expr) *types.Func {
	if i, ok := x.(*ast.IndexExpr); ok {
		x = i.X
	}
	var f *types.Func
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		f, _ = s.info.Uses[x].(*types.Func)
	case *ast.SelectorExpr:
		f, _ = s.info.Uses[x.Sel].(*types.Func)
	}
	if f == nil || f.Pkg() == nil || f.Signature().Recv() != nil {
		return nil
	}
	return f
}

func isMap(t types.Type) bool     { _, ok := t.(*types.Map); return ok }
func isChannel(t types.Type) bool { _, ok := t.(*types.Chan); return ok }

// is reports whether x has a type of a kind, or a type parameter that permits one.
func (s *source) is(x ast.Expr, kind func(types.Type) bool) bool {
	t := s.info.TypeOf(x)
	if t == nil {
		return false
	}
	union, ok := t.Underlying().(*types.Interface)
	if _, param := t.(*types.TypeParam); !ok || !param {
		return kind(t.Underlying())
	}
	for i := range union.NumEmbeddeds() {
		terms, ok := union.EmbeddedType(i).(*types.Union)
		if !ok {
			return kind(union.EmbeddedType(i).Underlying())
		}
		for k := range terms.Len() {
			if kind(terms.Term(k).Type().Underlying()) {
				return true
			}
		}
	}
	return false
}

// excused reports whether there is an order comment on the line of pos or ending on the line before.
func (s *source) excused(file *ast.File, pos token.Pos) bool {
	line := s.fset.Position(pos).Line
	return slices.ContainsFunc(file.Comments, func(c *ast.CommentGroup) bool {
		end := s.fset.Position(c.End()).Line
		return (end == line || end == line-1) && orderComment.MatchString(c.Text())
	})
}

// listed is the output of `go list` for a package.
type listed struct {
	ImportPath, Dir, Export           string
	GoFiles, IgnoredGoFiles, CgoFiles []string
	Imports                           []string
	Standard                          bool
}

// world is all packages of the module with their dependencies.
type world struct {
	packages map[string]listed
	fset     *token.FileSet
	importer types.Importer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	// The packages after ./... are those that the fixtures import.
	cmd := exec.Command("go", "list", "-export", "-deps",
		"-json=ImportPath,Dir,Export,GoFiles,IgnoredGoFiles,CgoFiles,Imports,Standard", "./...",
		"context", "crypto/rand", "hash/maphash", "maps", "math/rand", "math/rand/v2", "net", "net/http",
		"slices", "sync", "sync/atomic", "time")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &problems)
	}
	w := &world{packages: map[string]listed{}, fset: token.NewFileSet()}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		w.packages[p.ImportPath] = p
	}
	w.importer = importer.ForCompiler(w.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(w.packages[path].Export)
	})
	return w
}

func (w *world) std(path string) bool { return w.packages[path].Standard }

// load parses and type-checks a package. files maps names to texts; nil: the text is read from the file.
func (w *world) load(t *testing.T, path string, files map[string][]byte) *source {
	t.Helper()
	s := &source{path: path, fset: w.fset, info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
		Defs: map[*ast.Ident]types.Object{},
	}}
	for name, text := range files {
		var src any
		if text != nil {
			src = text
		}
		file, err := parser.ParseFile(w.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, file)
	}
	config := types.Config{Importer: w.importer}
	if _, err := config.Check(module+path, w.fset, s.files, s.info); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestArchitecture checks every package of the module against its layer.
func TestArchitecture(t *testing.T) {
	w := newWorld(t)
	checked := map[string]bool{}
	for path, p := range w.packages {
		below, ours := strings.CutPrefix(path, module)
		if !ours {
			continue
		}
		l := layerOf(below)
		if l == nil {
			t.Errorf("%s has no layer: add to architecture_test.go what it may import and do", below)
			continue
		}
		checked[l.path] = true
		special := slices.DeleteFunc(append(p.IgnoredGoFiles, p.CgoFiles...),
			func(name string) bool { return strings.HasSuffix(name, "_test.go") })
		if l.loop && len(special) > 0 {
			t.Errorf("%s: %v: code on the loop must not depend on the platform", below, special)
		}
		files := map[string][]byte{}
		for _, name := range p.GoFiles {
			files[filepath.Join(p.Dir, name)] = nil
		}
		for _, b := range w.load(t, below, files).violations(l, w.std) {
			t.Error(b)
		}
	}
	for _, p := range programs {
		if len(w.packages[module+p.path].Imports) == 0 {
			t.Errorf("program %s was not found: the test is void", p.path)
		}
		for _, b := range p.violations(w.packages) {
			t.Error(b)
		}
	}
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "nats-server") {
		t.Error("go.mod requires nats-server: it belongs in cmd/herd/jetstream/natstest/go.mod")
	}
	for _, must := range []string{"cmd/herd/jetstream", "protocol", "reactor", "reactor/memreactor", "places", "herd/feed", "herd/link", "herd/config", "herd"} {
		if !checked[must] {
			t.Errorf("no package of layer %s was found: the test is void", must)
		}
	}
}
