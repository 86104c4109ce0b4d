package view

import (
	"slices"

	"serverherd/herd"
)

// Line is a remark about one or more servers, or about the herd if there are none.
type Line struct {
	Servers []string
	Text    string
}

// Summary is the state of a herd in words.
type Summary struct {
	Answered, Consoles int    // servers that answered, of those with a console
	Problems           []Line // somebody has to do something
	Notes              []Line // what is unusual, or was
}

// MaxLines is how many problems, and how many notes, a Summary has at most. More are counted in one further line.
const MaxLines = 200

// Summary makes a summary.
func (h *Herd) Summary() Summary {
	var v Summary
	var problems, notes lines
	for _, a := range h.All {
		if !a.NoConsole {
			v.Consoles++
		}
		switch {
		case a.Status != nil:
			v.Answered++
		case !a.NoConsole:
			problems.add(a.Server, a.Error)
		}
	}
	if h.Disagree() {
		problems.all = append(problems.all, Line{Text: "the servers do not have the same records"})
	}
	differences(h.All, &notes)
	for _, a := range h.All {
		for _, r := range Remarks(a.Status) {
			if r.Level == Bad {
				problems.add(a.Server, r.Text)
			} else {
				notes.add(a.Server, r.Text)
			}
		}
	}
	v.Problems, v.Notes = problems.done(), notes.done()
	return v
}

// lines collects remarks. Servers with the same remark share a line.
type lines struct {
	all    []Line
	byText map[string]int // index in all
	more   int            // remarks beyond MaxLines
}

// add adds a remark about a server.
func (c *lines) add(server, text string) {
	i, known := c.byText[text]
	switch {
	case !known && len(c.all) >= MaxLines:
		c.more++
		return
	case !known:
		if c.byText == nil {
			c.byText = make(map[string]int)
		}
		c.byText[text] = len(c.all)
		c.all = append(c.all, Line{[]string{server}, text})
		return
	}
	if l := &c.all[i]; l.Servers[len(l.Servers)-1] != server { // a hostile console may repeat itself
		l.Servers = append(l.Servers, server)
	}
}

// done returns the lines.
func (c *lines) done() []Line {
	if c.more > 0 {
		return append(c.all, Line{Text: "and " + Count(c.more) + " more"})
	}
	return c.all
}

// Well reports whether all servers with a console answered and nothing is wrong. It is false if no server
// has a console.
func (v Summary) Well() bool {
	return v.Consoles > 0 && v.Answered == v.Consoles && len(v.Problems) == 0
}

// HasProblem reports whether a server has a problem now. Past events, which are only counted, do not matter.
func HasProblem(s *herd.Status) bool {
	return slices.ContainsFunc(Remarks(s), func(t Text) bool { return t.Level == Bad })
}
