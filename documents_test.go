package serverherd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"serverherd/cmd/herd/console/metrics"
	"serverherd/herd"
)

const (
	operating  = "cmd/herd/README.md"
	theConsole = "cmd/herd/console/README.md"
	report     = "cmd/study/report/report.md" // generated
)

// documents are the Markdown files of the repository: path to text.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "logs", "report", "places-state"}, path) || d.Name() == "testdata" {
				return filepath.SkipDir // what was built or written, and what tests compare with
			}
			return nil
		}
		if filepath.Ext(path) == ".md" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[filepath.ToSlash(path)] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 || all["README.md"] == "" || all[report] == "" {
		t.Fatalf("%d documents found", len(all))
	}
	return all
}

var (
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	linked   = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	absolute = regexp.MustCompile(`^[a-z]+:`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors are what links to headings of a document look like on GitHub.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		words := regexp.MustCompile(`[^\p{L}\p{N}\-_ ]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

// brokenLinks are the relative links of a document that lead nowhere.
func brokenLinks(path, text string) (broken []string) {
	for _, m := range linked.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		if absolute.MatchString(m[1]) {
			continue
		}
		file, anchor, ok := strings.Cut(m[1], "#")
		target := path
		if file != "" {
			target = filepath.Join(filepath.Dir(path), file)
		}
		if _, err := os.Stat(target); err != nil {
			broken = append(broken, m[1])
			continue
		}
		if ok {
			to, err := os.ReadFile(target)
			if err != nil || !slices.Contains(anchors(string(to)), anchor) {
				broken = append(broken, m[1])
			}
		}
	}
	return broken
}

func TestDocumentLinks(t *testing.T) {
	n := 0
	for path, text := range documents(t) {
		for _, link := range brokenLinks(path, text) {
			t.Errorf("%s: broken link %s", path, link)
		}
		n += len(linked.FindAllString(text, -1))
	}
	if n < 50 {
		t.Errorf("%d links found", n)
	}
	text := "# A, b\n[good](README.md) [good](#a-b) [no file](none.go) [no heading](README.md#none) [good](https://a.b/c)\n"
	if got, want := brokenLinks("x.md", text), []string{"#a-b", "none.go", "README.md#none"}; !slices.Equal(got, want) {
		t.Errorf("of a document that does not exist %v instead of %v", got, want)
	}
}

// Prose is wrapped, and the README stays short: details belong in the documents that it links to.
func TestDocumentLength(t *testing.T) {
	const widest, longest = 110, 160
	for path, text := range documents(t) {
		if path == report {
			continue
		}
		n := 0
		for line := range strings.Lines(text) {
			n++
			line = strings.TrimRight(line, "\n")
			if w := utf8.RuneCountInString(line); w > widest && !strings.HasPrefix(line, "|") {
				t.Errorf("%s:%d: %d characters wide, more than %d", path, n, w, widest)
			}
		}
		if path == "README.md" && n > longest {
			t.Errorf("%s: %d lines, more than %d", path, n, longest)
		}
	}
}

// section is a part of a document from a heading to the next one.
func section(t *testing.T, text, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+title+"\n")
	if !ok {
		t.Fatalf("no section %q", title)
	}
	rest, _, _ = strings.Cut(rest, "\n"+strings.Repeat("#", strings.Count(title, "#"))+" ")
	return rest
}

var quoted = regexp.MustCompile("`([^`]+)`")

// firstColumn is what stands in backquotes in the first column of the tables of a text.
func firstColumn(text string) (all []string) {
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+)`).FindAllStringSubmatch(text, -1) {
		for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// logMessages are the first arguments of Debug, Info, Warn and Error in a tree's files, and all of its
// string literals.
func logMessages(t *testing.T, roots ...string) (messages, literals map[string]bool) {
	t.Helper()
	messages, literals = map[string]bool{}, map[string]bool{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			logs := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
				return strings.HasPrefix(i.Path.Value, `"go.uber.org/zap`)
			})
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if text, err := strconv.Unquote(n.Value); err == nil {
						literals[text] = true
					}
				case *ast.CallExpr:
					f, ok := n.Fun.(*ast.SelectorExpr)
					if !logs || !ok || len(n.Args) == 0 || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, f.Sel.Name) {
						break
					}
					if text, ok := n.Args[0].(*ast.BasicLit); ok && text.Kind == token.STRING {
						message, _ := strconv.Unquote(text.Value)
						messages[message] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return messages, literals
}

// Every log message is in the table of the operator's manual, and every one of the table is in the code.
func TestLogMessagesAreDocumented(t *testing.T) {
	table := firstColumn(section(t, documents(t)[operating], "## Logs"))
	messages, literals := logMessages(t, "herd", "cmd/herd", "places")
	if len(messages) < 30 || len(table) < 30 {
		t.Fatalf("%d messages in the code and %d in the table", len(messages), len(table))
	}
	for message := range messages {
		if !slices.Contains(table, message) {
			t.Errorf("%s: log message %q is not in the table", operating, message)
		}
	}
	for _, message := range table {
		state, ok := strings.CutPrefix(message, "link ")
		if !literals[message] && !(ok && literals[state]) && message != "msg" {
			t.Errorf("%s: log message %q is not in the code", operating, message)
		}
	}
}

// jsonNames are the names of a struct's fields in JSON.
func jsonNames(of reflect.Type) (all []string) {
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}

// The tables of the console's manual have all of a server's status and counters, and nothing else.
func TestStatusIsDocumented(t *testing.T) {
	text := documents(t)[theConsole]
	for title, of := range map[string]reflect.Type{
		"## Fields of /status.json": reflect.TypeFor[herd.Status](),
		"## Counters":               reflect.TypeFor[herd.Counters](),
	} {
		table, names := firstColumn(section(t, text, title)), jsonNames(of)
		for _, name := range names {
			if !slices.Contains(table, name) {
				t.Errorf("%s: %s: %s is missing", theConsole, title, name)
			}
		}
		for _, name := range table {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s: there is no %s", theConsole, title, name)
			}
		}
	}
}

// The table of metrics has all of them but the counters, which have a table of their own, and nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	table := firstColumn(section(t, documents(t)[theConsole], "## Metrics"))
	all := metrics.Names()
	if len(all) < 100 {
		t.Fatalf("%d metrics", len(all))
	}
	counters := jsonNames(reflect.TypeFor[herd.Counters]())
	for _, name := range all {
		counter, _ := strings.CutPrefix(strings.TrimSuffix(name, "_total"), "herd_")
		if !slices.Contains(table, name) && !slices.Contains(counters, counter) {
			t.Errorf("%s: the metric %s is missing", theConsole, name)
		}
	}
	for _, name := range table {
		if !slices.Contains(all, name) {
			t.Errorf("%s: there is no metric %s", theConsole, name)
		}
	}
}

// Every test that the table of attacks names is one.
func TestAttacksAreTested(t *testing.T) {
	text := section(t, documents(t)["SECURITY.md"], "## What becomes of an attack")
	named := regexp.MustCompile("`((?:Test|Fuzz|Run)[A-Z]\\w+)`").FindAllStringSubmatch(text, -1)
	if len(named) < 20 {
		t.Fatalf("%d tests are named", len(named))
	}
	all := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (\w+)\(`).FindAllSubmatch(text, -1) {
			all[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range named {
		if !all[m[1]] {
			t.Errorf("SECURITY.md: there is no %s", m[1])
		}
	}
}

// The table of figures in the README, and what is said of the measurement, is that of the committed report.
func TestPerformanceIsThatOfTheReport(t *testing.T) {
	rows := func(text string) (all []string) {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "|") {
				all = append(all, line)
			}
		}
		return all
	}
	all := documents(t)
	inReadme, inReport := section(t, all["README.md"], "## Performance"), section(t, all[report], "## The table of README.md")
	ours, theirs := rows(inReadme), rows(inReport)
	if len(theirs) < 5 || !slices.Equal(ours, theirs) {
		t.Errorf("README.md has\n%s%s has\n%s", strings.Join(ours, ""), report, strings.Join(theirs, ""))
	}
	caption, _, _ := strings.Cut(strings.TrimSpace(inReport), "\n")
	if !strings.HasPrefix(caption, "Measured on ") || !strings.Contains(strings.Join(strings.Fields(inReadme), " "), caption) {
		t.Errorf("README.md does not say: %s", caption)
	}
}
