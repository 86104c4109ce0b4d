package study

import (
	"context"
	"fmt"
)

// Peers: programs that speak the same wire on engines of others.
const (
	twisted = "Twisted"
	asyncio = "asyncio"
	nodeJS  = "Node.js"
)

// peers are those that there are.
var peers []string

func startPeer(_ context.Context, _ *Bench, subject string) (servers, error) {
	return nil, fmt.Errorf("nothing is called %q", subject)
}

func startPeerHerd(ctx context.Context, b *Bench, subject string) (servers, error) {
	return startPeer(ctx, b, subject)
}

func missingPeer(subject string) string { return fmt.Sprintf("nothing is called %q", subject) }
