package main

import (
	"serverherd/cmd/herd/jetstream"
	"serverherd/herd"
)

// openBucket adds the buckets of [jetstream] to a server's options, if it is a bridge to them or asks them. What it returns
// is to be called after the loop has ended.
func (p *process) openBucket(o *herd.Options) (closeBucket func(), err error) {
	j := &p.cfg.JetStream
	if !j.Enabled() {
		return func() {}, nil
	}
	if o.BucketMode, err = herd.ParseBucketMode(j.Mode); err != nil {
		return nil, err
	}
	asks := o.BucketMode == herd.BucketAsk
	if !asks && !p.self.Bridge {
		return func() {}, nil
	}
	var names []string
	for _, s := range p.cfg.Servers {
		names = append(names, s.Name)
	}
	b, err := jetstream.New(jetstream.Options{
		Config: *j, Herd: p.cfg.Herd.Name, Server: p.self.Name, Names: names, Reactor: p.reactor, Log: p.log.Logger,
	})
	if err != nil {
		return nil, err
	}
	if p.self.Bridge {
		o.Bucket, o.BridgeRank = b, p.cfg.BridgeRank(p.self.Name)
	}
	if asks {
		o.Asker, o.AskAfter = b, j.AskAfter
	}
	return b.Close, nil
}
