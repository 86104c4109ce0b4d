// Package lab answers with numbers what an event loop buys over goroutines, and what flooding buys over
// asking: it runs experiments, keeps every single figure, and writes a report of which even the
// conclusions are computed, by rules that stand in it before any run does. Command study is its command
// line.
//
// The report is a folder: raw.json, with each figure of each run and what machine and program it
// comes from; report.md; and charts, which report.md shows.
//
// # A row
//
// An Experiment is one row of the study: a question, one variable with its settings, the subjects
// that are compared, the figures that each run yields, and a function that does one run. It says
// nothing about order, repetition, medians or conclusions. Runs are interleaved, A B C, B C A,
// C A B, so that a machine that is busy for a while is busy for all (see plan), each run is
// against a server that was started for it and warmed up, and what the rules make of the figures
// is in statistics.go and rules.go, which are pure.
//
// To add a row: write a file that makes an Experiment, fill in its Row and Measure, say in its
// Targets, Guesses or Growth what should be concluded, and name it in All. Everything else, the
// tables, the charts with their axes, the conclusions, --only and --from, follows. A run that
// cannot be right returns an error made by Void and is thrown away, in front of everyone; a
// subject that is not installed says in Missing how to install it, and is skipped; what this
// machine does not allow is an error made by Cannot, which says what to raise.
//
// A run of real servers is startHerd, for engines of the herd, or startAny, for anybody; then apply,
// which is herd load, or a blast, which hardly looks at replies; and then verdict, which sees that the
// servers are alive, agree, and have dropped nothing from their logs. idle.go is a row of that kind
// in fifty lines. A simulated run is sim.NewHerd and what is done to it; growservers.go is one.
//
// # What can be compared
//
// The server and what loads it share the machine's cores. A figure is good for comparing it with
// its neighbors in the same row of the same report, not with one from elsewhere.
package lab
