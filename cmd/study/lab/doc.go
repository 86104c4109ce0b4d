// Package lab compares an event loop with goroutines, and flooding with lookups on demand. It runs
// experiments, stores every figure, and writes a report. Even the conclusions are computed, by rules that
// are fixed before the first run. Command study is its command line.
//
// The report is a directory: raw.json, with all figures of all runs, the machine, the version and the commit
// that holds the rules; report.md and its charts; and report.html, which is the same in one file. It begins with the
// answers, which are sentences computed from the comparisons of workloads.go (answer.go), and a chart of
// these (forest.go).
//
// # A row
//
// An Experiment is one row of the study: a question, one variable with its settings, the subjects to
// compare, the figures that each run yields, and a function for one run. It does not deal with order,
// repetition, medians or conclusions. Runs are interleaved, A B C, C B A, B C A, A C B, so that load on
// the machine affects all subjects (see plan). Each run uses a new server, after a warm-up. The rules are in
// rules.go, statistics.go, comparisons.go, workloads.go and others (see ruleFiles), which do no I/O. Everything behind
// them is a pure function of raw.json.
//
// To add a row: write a file with a function that returns an Experiment, fill in Section, Row and Measure, add
// Targets, Guesses or Growth for conclusions, and Expect if a run takes longer than usual, and add it to All.
// Tables, charts, conclusions, --only and --from then work. A run with wrong results returns an error made
// by Void; it is discarded and listed in the report. For a subject that is not installed, Missing says how
// to install it, and it is skipped. A limit of this machine is an error made by Cannot, which says what to
// raise.
//
// A run of real servers consists of startHerd (for engines of the herd) or startAny (for all subjects), then
// apply (which is herd load) or a blast (which hardly checks replies), and then verdict, which checks that
// the servers are alive, agree, and have dropped no log entries. churn.go is an example. A
// simulated run uses sim.NewCalm; growservers.go is an example.
//
// # What can be compared
//
// Servers and load generators share the machine's cores. Compare figures only within a row of a report.
package lab
