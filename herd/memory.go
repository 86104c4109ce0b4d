package herd

import (
	"cmp"
	"container/heap"
	"slices"
)

// This file limits the memory of all clients together: unread replies, replies that wait for an earlier one,
// and lines that are held. The limits of one connection are not enough: each of 10,000 may have output_soft
// unread.
//
// Each sweep measures the memory. In between the reactor's alarm does, when memory has grown by as much as
// was left. So max_buffered is exceeded by no more than one turn can add. The capacity of buffers counts, not
// their contents.

// checkMemory measures the memory used for all clients, and applies the limit.
func (srv *Server) checkMemory() {
	memory := 0
	for _, s := range srv.sessions {
		memory += s.memory()
	}
	srv.boundMemory(memory)
}

// memory returns the memory used for the session's client, in bytes. A proven neighbor is not a client.
func (s *session) memory() int {
	if s.admission == asNeighbor || s.aborted {
		return 0
	}
	return s.t.Memory()
}

// boundMemory closes clients' connections if they use more than max_buffered, and sets the alarm.
func (srv *Server) boundMemory(memory int) {
	limit, freed := srv.cfg.Limits.MaxBuffered, 0
	if memory > limit {
		freed = srv.cutOffLargest(memory - limit/4*3)
	}
	srv.buffered = memory - freed
	// Links use memory, too, which may grow while that of clients shrinks. At least limit/8 prevents an alarm
	// in every turn.
	room := max(limit-srv.buffered, limit/8)
	srv.reactor.MemoryAlarm(srv.reactor.Memory()-freed+room, srv.checkMemory)
}

// cutOffLargest closes clients' connections until at least excess bytes are freed: each time the largest
// connection of the largest address. By connection size alone, 10,000 of one host with 25 KiB each would
// stay, and one of another client with 26 KiB would not.
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

// byAddress returns a heap of every address that uses memory, with its connections, the largest first.
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

// addressMemory is the memory used for the clients of one address.
type addressMemory struct {
	name     string
	memory   int
	sessions []*session
}

// addresses is a heap, the largest first.
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
