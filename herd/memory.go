package herd

import (
	"cmp"
	"container/heap"
	"slices"
)

// This file bounds what all clients together make the server keep: replies that they do not read or
// that wait for an earlier one, and lines that are held. The limits of one connection do not: each of
// 10,000 may be owed output_soft.
//
// Each sweep measures it. In between the reactor's alarm does, when memory has grown by as much as
// was left, so that max_buffered is passed by what a turn can add and no more. What counts is the
// capacity of buffers, not what is in them.

// checkMemory measures what is kept for all clients, and acts on it.
func (srv *Server) checkMemory() {
	memory := 0
	for _, s := range srv.sessions {
		memory += s.memory()
	}
	srv.boundMemory(memory)
}

// memory is what is kept for the session's client, in bytes. A neighbor that has proven itself is none.
func (s *session) memory() int {
	if s.admission == asNeighbor || s.aborted {
		return 0
	}
	return s.t.Memory()
}

// boundMemory cuts clients off if they take more than max_buffered, and sets the alarm.
func (srv *Server) boundMemory(memory int) {
	limit, freed := srv.cfg.Limits.MaxBuffered, 0
	if memory > limit {
		freed = srv.cutOffLargest(memory - limit/4*3)
	}
	srv.buffered = memory - freed
	// Links have memory, too, and may grow while clients shrink: at least limit/8 keeps the alarm from
	// ringing all the time.
	room := max(limit-srv.buffered, limit/8)
	srv.reactor.MemoryAlarm(srv.reactor.Memory()-freed+room, srv.checkMemory)
}

// cutDown cuts off clients that take at least excess bytes, if there are as many: each time of the
// address that takes most, the connection that takes most. By connections alone 10,000 that are owed
// 25 KiB would live, and one of somebody else that is owed 26 KiB would not.
func (srv *Server) cutOffLargest(excess int) (freed int) {
	all := srv.byAddress()
	for freed < excess && len(all) > 0 {
		a := all[0]
		s := a.sessions[0]
		memory := s.memory()
		s.cutOff(errMemory, a.memory)
		freed += memory
		a.memory -= memory
		if a.sessions = a.sessions[1:]; len(a.sessions) == 0 {
			heap.Pop(&all)
		} else {
			heap.Fix(&all, 0)
		}
	}
	return freed
}

// byAddress is every address that takes memory, in a heap, with its connections, the largest first.
func (srv *Server) byAddress() (all addresses) {
	known := map[string]*addressMemory{}
	for _, s := range srv.sessions {
		memory := s.memory()
		if memory == 0 {
			continue
		}
		a := known[s.address]
		if a == nil {
			a = &addressMemory{name: s.address}
			known[s.address] = a
			all = append(all, a)
		}
		a.memory += memory
		a.sessions = append(a.sessions, s)
	}
	for _, a := range all {
		slices.SortFunc(a.sessions, func(s, o *session) int {
			return cmp.Or(cmp.Compare(o.memory(), s.memory()), cmp.Compare(o.id, s.id))
		})
	}
	heap.Init(&all)
	return all
}

// addressMemory is what the clients of one address take.
type addressMemory struct {
	name     string
	memory   int
	sessions []*session
}

// addresses is a heap of them, the one that takes most on top.
type addresses []*addressMemory

func (a addresses) Len() int { return len(a) }
func (a addresses) Less(i, k int) bool {
	return cmp.Or(cmp.Compare(a[k].memory, a[i].memory), cmp.Compare(a[i].name, a[k].name)) < 0
}
func (a addresses) Swap(i, k int) { a[i], a[k] = a[k], a[i] }
func (a *addresses) Push(x any)   { *a = append(*a, x.(*addressMemory)) }
func (a *addresses) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}
