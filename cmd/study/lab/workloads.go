package lab

// workload is a comparison of the engines loop and goroutines that the summary names and its chart shows.
type workload struct {
	row, setting, figure string
	group                string // heading in the chart
	name                 string // in the chart
	phrase               string // at the end of a sentence
	amount               amount
}

// amount is how a sentence compares a figure: "goroutines answer 1.2 times as many lines per second as ...".
type amount struct{ one, many, of string } // the verb for one subject and for many, and what follows the ratio

var (
	lines       = amount{"answers", "answer", "as many lines per second as"}
	visited     = amount{"serves", "serve", "as many connections per second as"}
	cpu         = amount{"needs", "need", "as much CPU time per reply as"}
	slowest     = amount{"has", "have", "the 99th percentile of response times of"}
	idleMemory  = amount{"holds", "hold", "as much memory for an idle connection as"}
	applied     = amount{"applies", "apply", "as many updates per second as"}
	cpuOfHerd   = amount{"needs", "need", "as much CPU time per update applied everywhere as"}
	propagation = amount{"needs", "need", "as much time until half of the updates are at the slowest server as"}
)

// workloads are the comparisons of the summary. They were chosen before the run.
func workloads() []workload {
	const (
		shared  = "Lines per second, server and loader share two cores"
		apart   = "Lines per second, one core for each"
		perLine = "CPU time per reply"
		p99     = "Response time, 99th percentile"
		memory  = "Memory"
		herds   = "Herd of five servers"
	)
	return []workload{
		{"throughput", "1 connections, pipeline 1", "replies", shared, "1 connection, 1 line in flight",
			"with one connection that has one line in flight", lines},
		{"throughput", "50 connections, pipeline 1", "replies", shared, "50 connections, 1 line in flight",
			"with 50 connections that each have one line in flight", lines},
		{"throughput", "50 connections, pipeline 16", "replies", shared, "50 connections, 16 lines in flight",
			"with 50 connections that each have 16 lines in flight", lines},
		{"throughput", "1000 connections, pipeline 1", "replies", shared, "1,000 connections, 1 line in flight",
			"with 1,000 connections that each have one line in flight", lines},
		{"throughput", "1000 connections, pipeline 16", "replies", shared, "1,000 connections, 16 lines in flight",
			"with 1,000 connections that each have 16 lines in flight", lines},
		{"throughput", "10000 connections, pipeline 1", "replies", shared, "10,000 connections, 1 line in flight",
			"with 10,000 connections that each have one line in flight", lines},
		{"idle-ratio", "95 % idle", "replies", shared, "1,000 connections, 95 % of them idle",
			"with 1,000 connections of which 95 % are idle", lines},
		{"payload", "WHATSAT, JSON", "replies", shared, "replies with 20 places as JSON",
			"with replies of 20 places as JSON", lines},
		{"churn", "16 clients", "connections", shared, "a new connection for every line",
			"with a new connection for every line", visited},
		{"placement", apartOne, "replies", apart, "50 connections, 1 line in flight",
			"with one core for the server, the other for the loader, and one line in flight on 50 connections", lines},
		{"placement", apartMany, "replies", apart, "50 connections, 16 lines in flight",
			"with one core for the server, the other for the loader, and 16 lines in flight on 50 connections", lines},
		{"throughput", "50 connections, pipeline 1", "CPU per reply", perLine, "50 connections, 1 line in flight",
			"with 50 connections that each have one line in flight", cpu},
		{"throughput", "50 connections, pipeline 16", "CPU per reply", perLine, "50 connections, 16 lines in flight",
			"with 50 connections that each have 16 lines in flight", cpu},
		{"throughput", "1000 connections, pipeline 1", "CPU per reply", perLine, "1,000 connections, 1 line in flight",
			"with 1,000 connections that each have one line in flight", cpu},
		{"latency", halfOfEngines, "p99", p99, "at half of the peak rate",
			"at half of the peak rate", slowest},
		{"slow-handler", "10 ms in another thread", "p99", p99, "beside lookups of 10 ms in another thread",
			"beside lookups that take 10 ms in another thread", slowest},
		{"slow-readers", "10 %", "p99", p99, "beside 10 % of clients that hardly read",
			"beside 10 % of clients that hardly read", slowest},
		{"memory", "10000 connections, never active", "memory per connection", memory, "an idle connection of 10,000",
			"with 10,000 idle connections", idleMemory},
		{"herd-peers", atAll, applications, herds, "updates applied per second, saturated",
			"as a herd of five servers that is saturated", applied},
		{"herd-peers", atFixedRate, costEverywhere, herds, "CPU time per update applied everywhere",
			"as a herd of five servers at 5,000 updates per second", cpuOfHerd},
		{"herd-peers", atLowRate, "propagation p50", herds, "time to the slowest server, median",
			"as a herd of five servers at 200 updates per second", propagation},
	}
}

// plainName is a subject as sentences name it.
type plainName struct {
	name   string
	plural bool // of the verb
}

var plainNames = map[string]plainName{
	"loop": {"the event loop", false}, "goroutines": {"goroutines", true}, twisted: {"Twisted", false}, nodeJS: {"Node.js", false},
}

// does is the subject with its verb.
func (n plainName) does(one, many string) string {
	if n.plural {
		return n.name + " " + many
	}
	return n.name + " " + one
}

// measured is a workload with its comparison.
type measured struct {
	workload
	*Comparison // of loop to goroutines
}

// engineDuel returns the workloads that were measured.
func engineDuel(all comparisons) (found []measured) {
	for _, w := range workloads() {
		if c := all.of(w.row, w.setting, w.figure, "loop", "goroutines"); c.Verdict != NotMeasured {
			found = append(found, measured{w, c})
		}
	}
	return found
}
