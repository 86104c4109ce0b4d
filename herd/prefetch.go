package herd

import (
	"bytes"

	"serverherd/herd/feed"
	"serverherd/protocol"
)

// prefetchBytes is the size of a chunk with enough lines for reading ahead: see BenchmarkChunks.
const prefetchBytes = 512

// prefetch has the store read ahead the clients of the lines in a chunk, which are then executed one by one as ever.
// The first line of the chunk may be the end of one, and what looks like an AT line or IAMAT may be invalid: then what
// is read is of no use.
func (srv *Server) prefetch(chunk []byte) {
	if len(chunk) < prefetchBytes || srv.store.Len() < feed.PrefetchClients {
		return
	}
	var clients [feed.PrefetchMax][]byte
	n := 0
	for n < len(clients) {
		line, rest, complete := bytes.Cut(chunk, newline)
		if !complete {
			break
		}
		if id := protocol.PeekClient(line); id != nil {
			clients[n] = id
			n++
		}
		chunk = rest
	}
	srv.store.Prefetch(clients[:n])
}
