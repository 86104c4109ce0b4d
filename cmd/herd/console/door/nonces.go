package door

import (
	"time"

	"serverherd/herd"
	"serverherd/herd/access"
)

// nonces are those of valid signatures, for as long as a signature may be valid: a signature counts once.
type nonces struct {
	seen  map[access.Nonce]struct{}
	order []seenNonce // the oldest first
}

type seenNonce struct {
	nonce access.Nonce
	until time.Time
}

// add remembers a nonce, or returns why its signature must be refused. Only who has the herd's secret can fill the memory.
func (n *nonces) add(nonce access.Nonce, now time.Time) (why string) {
	for len(n.order) > 0 && now.After(n.order[0].until) {
		delete(n.seen, n.order[0].nonce)
		n.order = n.order[1:]
	}
	if _, ok := n.seen[nonce]; ok {
		return "the signature has been used before"
	}
	if len(n.order) >= herd.ConsoleNonces {
		return "too many signed requests within a minute"
	}
	n.seen[nonce] = struct{}{}
	n.order = append(n.order, seenNonce{nonce, now.Add(2 * access.SignatureAge)})
	return ""
}
