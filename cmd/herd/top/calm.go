package top

import (
	"time"

	"serverherd/cmd/herd/view"
)

const (
	// calmFor is how long a state is shown after it was seen: "under way" and "in sync" would alternate at each
	// answer while there is load.
	calmFor = 5 * time.Second
	// restartedFor is how long it is shown that a server was restarted.
	restartedFor = 10 * time.Second
)

// isUnderWay reports whether an agreement is that updates are on their way, and nothing is wrong.
func isUnderWay(a view.Text) bool {
	return a == view.UnderWay
}

// observe notes for which servers updates are under way.
func (m *Model) observe() {
	all := m.herd()
	for _, s := range m.servers {
		if s.now.Status != nil && isUnderWay(all.Agreement(s.now.Status)) {
			s.busy = m.now
		}
	}
}

// calm is an agreement without what changes with each answer though nothing happens: how many updates are under
// way, and whether some are just now.
func (m *Model) calm(s *server, a view.Text) view.Text {
	hold := max(calmFor, 2*m.o.Interval)
	if isUnderWay(a) || a.Level == view.Good && !s.busy.IsZero() && m.now.Sub(s.busy) < hold {
		return view.UnderWay
	}
	return a
}

// restart is how long ago a server was restarted. It is known if another process of it answered before.
func (s *server) restart() (ago time.Duration, known bool) {
	if !s.restarted || s.now.Status == nil {
		return 0, false
	}
	ago = s.now.Status.Now.Sub(s.now.Status.Started)
	return ago, ago < restartedFor
}
