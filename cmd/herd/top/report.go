package top

import (
	"time"

	"serverherd/cmd/herd/ask"
)

// Report is what herd top --once --json prints.
type Report struct {
	Herd    string         `json:"herd"`
	Time    time.Time      `json:"time"`
	Level   string         `json:"level"`   // good, unknown, notice or bad
	Verdict string         `json:"verdict"` // the first line of the screen
	Servers []ServerReport `json:"servers"` // in the order of herd.toml
}

// ServerReport is one server. What is not known is null.
type ServerReport struct {
	ask.Status
	Level string `json:"level"`
	State string `json:"state"`
	// Between two answers, per second: lines of clients, records that were new to the server, those of them that
	// came from its clients, and seconds of CPU.
	Lines   *float64 `json:"lines_per_second"`
	Updates *float64 `json:"updates_per_second"`
	Stored  *float64 `json:"stored_per_second"`
	CPU     *float64 `json:"cpu_per_second"`
	// Upper bounds on 99 % of the times between the answers, in seconds.
	Lag   *float64 `json:"lag_p99"`
	Delay *float64 `json:"propagation_p99"`
}

// Report returns what the screen of the herd says, and the servers' last answers.
func (m *Model) Report() Report {
	v, more := m.verdict()
	r := Report{Herd: m.o.Herd, Time: m.now, Level: v.Level.String(), Verdict: v.Text + more}
	for _, row := range m.herdRows() {
		s := m.find(row.key)
		r.Servers = append(r.Servers, ServerReport{
			Status: s.now, Level: row.cells[1].level.String(), State: row.cells[1].text,
			Lines: s.lines().pointer(), Updates: s.updates().pointer(), Stored: s.stored().pointer(), CPU: s.cpu().pointer(),
			Lag: s.lag().pointer(), Delay: s.propagation().pointer(),
		})
	}
	return r
}

// pointer is nil if the value is unknown.
func (v value) pointer() *float64 {
	if !v.known {
		return nil
	}
	return &v.n
}
