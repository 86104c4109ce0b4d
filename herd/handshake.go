package herd

import (
	"math/rand/v2"
	"time"

	"serverherd/protocol"
)

// handshakeTimeout bounds a handshake from its connection to WELCOME, on both sides.
const handshakeTimeout = 2 * time.Second

// maxLinkLine is the limit on a line between servers, whatever max_line is.
const maxLinkLine = 8192

// newNonce and newEpoch draw from a generator that the command seeds with the system's entropy
// and whose outputs cannot be foretold from one another.
func newNonce(r *rand.Rand) (n protocol.Nonce) {
	for i := 0; i < len(n); i += 8 {
		v := r.Uint64()
		for j := range 8 {
			n[i+j] = byte(v >> (8 * j))
		}
	}
	return n
}

// newEpoch is never 0, which stands for no process.
func newEpoch(r *rand.Rand) protocol.Epoch {
	for {
		if e := protocol.Epoch(r.Uint64()); e != 0 {
			return e
		}
	}
}
