// Notice writes LICENSES: the modules that bin/herd and bin/study link, their licenses, and the texts.
//
//	notice -root DIR       writes DIR/LICENSES
//	notice -root DIR -d    exits with 1 if it would write something else
//
// It fails if a module has no license file, a license that it does not recognize, or one that is not in allowed.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

// allowed are the licenses by SPDX identifier that linked code may have. Those of svgo and the Liberation fonts, which
// only the study links, are not for code but permit this.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "FTL", "ISC", "MIT", "OFL-1.1", "Unlicense"}

// The builds whose modules are listed.
var (
	platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"}
	programs  = []string{"herd", "study"}
)

// licenseFile matches the files of a directory that are a license, a notice or a patent grant.
var licenseFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents)([-.](md|txt|[a-z-]+))?$`)

// module is a linked module.
type module struct {
	Path, Version, Dir string
	packages           []string // directories of its packages that are linked
	programs           []string // which link it
	spdx               []string // of its files
	texts              []int    // numbers of its files' texts
}

func main() {
	root := flag.String("root", ".", "directory of the main module")
	diff := flag.Bool("d", false, "do not write; fail if the file is different")
	flag.Parse()
	if err := run(*root, *diff); err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

func run(root string, diff bool) error {
	text, err := licenses(root)
	if err != nil {
		return err
	}
	file := filepath.Join(root, "LICENSES")
	if !diff {
		return os.WriteFile(file, text, 0o644) // #nosec G306 -- everybody may read licenses
	}
	old, err := os.ReadFile(file) // #nosec G304 -- the caller names its directory
	if err != nil || !bytes.Equal(old, text) {
		return errors.Join(err, errors.New("LICENSES is not what make notice writes now: run it, and read what changes"))
	}
	return nil
}

// choices are modules whose license file offers several: the one that we chose, and where its text is.
var choices = map[string]struct{ spdx, file string }{
	"github.com/golang/freetype": {"FTL", "licenses/ftl.txt"},
}

// linked are the modules of all builds, but the main one, with the standard library as the last.
func linked(root string) ([]*module, error) {
	all := map[string]*module{}
	for _, program := range programs {
		for _, platform := range platforms {
			system, arch, _ := strings.Cut(platform, "/")
			// #nosec G204 -- program is one of programs
			cmd := exec.Command("go", "list", "-deps", "-json=Dir,Module", "./cmd/"+program)
			cmd.Dir, cmd.Stderr = root, os.Stderr
			cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
			out, err := cmd.Output()
			if err != nil {
				return nil, fmt.Errorf("go list: %w", err)
			}
			for d := json.NewDecoder(bytes.NewReader(out)); ; {
				var p struct {
					Dir    string
					Module *struct {
						module
						Main bool
					}
				}
				if err := d.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return nil, err
				}
				if p.Module == nil || p.Module.Main {
					continue
				}
				m := all[p.Module.Path]
				if m == nil {
					m = &p.Module.module
					all[m.Path] = m
				}
				if !slices.Contains(m.packages, p.Dir) {
					m.packages = append(m.packages, p.Dir)
				}
				if !slices.Contains(m.programs, program) {
					m.programs = append(m.programs, program)
				}
			}
		}
	}
	sorted := slices.SortedFunc(maps.Values(all), func(a, b *module) int { return cmp.Compare(a.Path, b.Path) })
	cmd := exec.Command("go", "env", "GOROOT")
	cmd.Dir = root
	goroot, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	std := &module{Path: "the standard library of Go", Dir: strings.TrimSpace(string(goroot)), programs: programs}
	return append(sorted, std), nil
}

// licenses is the text of the file.
func licenses(root string) ([]byte, error) {
	modules, err := linked(root)
	if err != nil {
		return nil, err
	}
	c, err := assets.DefaultClassifier()
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, m := range modules {
		found, err := m.read(c, texts)
		if err != nil {
			return nil, err
		}
		texts = found
	}
	return write(modules, texts), nil
}

// read finds the license texts of a module, and appends those that are new to texts.
func (m *module) read(c *classifier.Classifier, texts []string) ([]string, error) {
	files, err := m.files()
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file) // #nosec G304 -- files has found it, in a directory of the module
		if err != nil {
			return nil, err
		}
		clean := tidy(string(text))
		i := slices.Index(texts, clean)
		if i < 0 {
			i, texts = len(texts), append(texts, clean)
		}
		m.texts = append(m.texts, i)
		for _, match := range c.Match(text).Matches {
			if match.MatchType == "License" && !slices.Contains(m.spdx, match.Name) {
				m.spdx = append(m.spdx, match.Name)
			}
		}
	}
	slices.Sort(m.spdx)
	if choice, ok := choices[m.Path]; ok {
		m.spdx = []string{choice.spdx}
	}
	if len(m.spdx) == 0 {
		return nil, fmt.Errorf("%s: no license was recognized in %s", m.Path, m.Dir)
	}
	for _, id := range m.spdx {
		if !slices.Contains(allowed, id) {
			return nil, fmt.Errorf("%s has the license %s, which is not in the list of tools/notice", m.Path, id)
		}
	}
	return texts, nil
}

// files are the license files of a module: those in its directory, in those of the packages that are linked, and in
// the ones between. A package copied from elsewhere often has a license of its own.
func (m *module) files() (all []string, err error) {
	dirs := []string{m.Dir}
	for _, dir := range m.packages {
		for ; dir != m.Dir && !slices.Contains(dirs, dir); dir = filepath.Dir(dir) {
			if !strings.HasPrefix(dir, m.Dir+string(filepath.Separator)) {
				return nil, fmt.Errorf("%s: a package is in %s, not in %s", m.Path, dir, m.Dir)
			}
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Type().IsRegular() && licenseFile.MatchString(e.Name()) {
				all = append(all, filepath.Join(dir, e.Name()))
			}
		}
	}
	if choice, ok := choices[m.Path]; ok {
		all = append(all, filepath.Join(m.Dir, choice.file))
	}
	return all, nil
}

// tidy removes what differs between copies of one text and says nothing: ends of lines, spaces there, empty lines
// around it.
func tidy(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t\f")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
}

var copyright = regexp.MustCompile(`(?im)^\W*(copyright (?:\(c\)|©|\d).*|©.*)$`)

// write makes the file of all modules and texts.
func write(modules []*module, texts []string) []byte {
	var b strings.Builder
	b.WriteString("The licenses of what bin/herd and bin/study link, on Linux and macOS. Made by make notice.\n\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace(m.Path+" "+m.Version))
		fmt.Fprintf(&b, "    %s, in %s\n", strings.Join(m.spdx, " and "), strings.Join(m.programs, " and "))
		var holders []string
		for _, i := range m.texts {
			for _, line := range copyright.FindAllStringSubmatch(texts[i], -1) {
				if h := strings.TrimSpace(line[1]); !slices.Contains(holders, h) {
					holders = append(holders, h)
				}
			}
		}
		for _, h := range holders {
			fmt.Fprintf(&b, "    %s\n", h)
		}
		var numbers []string
		for _, i := range m.texts {
			numbers = append(numbers, fmt.Sprint(i+1))
		}
		fmt.Fprintf(&b, "    text %s\n", strings.Join(numbers, ", "))
	}
	for i, text := range texts {
		fmt.Fprintf(&b, "\n%s\nText %d\n%s\n\n%s", strings.Repeat("=", 80), i+1, strings.Repeat("=", 80), text)
	}
	return []byte(b.String())
}
