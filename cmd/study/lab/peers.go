package lab

import (
	"context"
	"fmt"
	"slices"

	"serverherd/cmd/study/peers"
)

// Names of peers in targets and guesses.
const (
	twisted = "twisted"
	nodeJS  = "node"
)

// peerNames are the names of all peers.
func peerNames() (all []string) {
	for _, p := range peers.All() {
		all = append(all, p.Name)
	}
	return all
}

// peer finds a peer by name.
func peer(name string) (*peers.Peer, error) {
	i := slices.IndexFunc(peers.All(), func(p *peers.Peer) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("unknown peer %q", name)
	}
	return peers.All()[i], nil
}

// startPeer starts a herd of a peer.
func startPeer(ctx context.Context, name string, o peers.Options) (servers, error) {
	p, err := peer(name)
	if err != nil {
		return nil, err
	}
	started, err := p.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	var all servers
	for _, s := range started {
		all = append(all, &process{name: s.Name, addr: s.Addr, cmd: s.Cmd, output: s.Stderr, ended: s.Done})
	}
	return all, nil
}

// missingPeer says why a peer cannot run here; "" if it can.
func missingPeer(name string) string {
	p, err := peer(name)
	if err != nil {
		return err.Error()
	}
	return p.Missing()
}

// versionsOf returns the versions of the peers and of Redis among subjects.
func versionsOf(subjects []string) map[string]string {
	versions := map[string]string{}
	for _, s := range subjects {
		if p, err := peer(s); err == nil && p.Version() != "" {
			versions[s] = p.Version()
		}
		if s == redis && redisVersion() != "" {
			versions["Redis"] = redisVersion()
		}
	}
	return versions
}
