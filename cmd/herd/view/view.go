// Package view says in words what the servers' statuses mean: whether they agree, what is wrong, how long
// something took. It makes hostile strings safe for a terminal. The commands and the page share it.
//
// Package style has the colors.
package view

import (
	"slices"
	"strings"

	"serverherd/herd"
)

// Level is how good a piece of news is.
type Level int

// The levels, the best first.
const (
	Good    Level = iota
	Unknown       // nothing is known, or nothing is expected
	Notice        // it ends by itself, or is over
	Bad           // somebody has to do something
)

// String is good, unknown, notice or bad.
func (l Level) String() string { return []string{"good", "unknown", "notice", "bad"}[l] }

// Text is a text with its level.
type Text struct {
	Level Level
	Text  string
}

// Live reports whether a link is live in both directions. A legacy neighbor connects only when it has something
// to send.
func Live(l *herd.LinkStatus) bool {
	return l.State == herd.LinkLive && l.Receiving || l.State == herd.LinkLegacy
}

// LiveLinks counts live links.
func LiveLinks(s *herd.Status) (n int) {
	for i := range s.Links {
		if Live(&s.Links[i]) {
			n++
		}
	}
	return n
}

// Clients counts connections that are not those of neighbors.
func Clients(s *herd.Status) int {
	n := s.Connections
	for _, l := range s.Links {
		if l.State != herd.LinkDown && l.State != herd.LinkDialing {
			n--
		}
		if l.Receiving {
			n--
		}
	}
	return max(n, 0)
}

// join is strings.Join of what is not empty.
func join(separator string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), separator)
}
