package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"serverherd/cmd/herd/console"
	"serverherd/places"
)

// reloads are the requests to read files again. One reload runs at a time: what is requested meanwhile runs after it, and
// all of that is one reload. Any goroutine may request one.
type reloads struct {
	wake chan struct{} // has a value if something may be waiting

	mu      sync.Mutex
	by      []string                // who has requested the next reload, each once
	waiting []chan console.Reloaded // for its result
}

func newReloads() *reloads { return &reloads{wake: make(chan struct{}, 1)} }

// request requests a reload.
func (r *reloads) request(by string) { r.add(by, nil) }

// ask requests a reload. Its result is sent when it has ended, whether or not anybody receives it.
func (r *reloads) ask(by string) <-chan console.Reloaded {
	result := make(chan console.Reloaded, 1)
	r.add(by, result)
	return result
}

func (r *reloads) add(by string, result chan console.Reloaded) {
	r.mu.Lock()
	if !slices.Contains(r.by, by) {
		r.by = append(r.by, by)
	}
	if result != nil {
		r.waiting = append(r.waiting, result)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// serve calls reload for what was requested, with who did. It does not return.
func (r *reloads) serve(reload func(by string) console.Reloaded) {
	for range r.wake {
		r.mu.Lock()
		by, waiting := r.by, r.waiting
		r.by, r.waiting = nil, nil
		r.mu.Unlock()
		if len(by) == 0 {
			continue // it was part of the reload before
		}
		result := reload(strings.Join(by, ", "))
		for _, w := range waiting {
			w <- result
		}
	}
}

// reload reopens the log file if it was moved, and reads the tokens, the certificates and the places file again, if there
// are any. What has an error stays as it was. It is called by reloads only.
func (p *process) reload(by string) console.Reloaded {
	defer p.service.Reloading()()
	begun := time.Now()
	r := console.Reloaded{Server: p.self.Name, OK: true}
	var failed []string
	for _, part := range []struct {
		name string
		do   func() console.ReloadedPart
	}{
		{console.LogPart, func() console.ReloadedPart { return p.reloadLog(by) }},
		{console.TokensPart, p.reloadTokens},
		{console.CertificatesPart, p.reloadCerts},
		{console.PlacesPart, p.reloadPlaces},
	} {
		begun := time.Now()
		one := part.do()
		one.Part, one.Took = part.name, time.Since(begun).Seconds()
		if one.Error != "" {
			one.What, r.OK = console.Failed, false
			failed = append(failed, part.name)
		}
		r.Parts = append(r.Parts, one)
	}
	took := time.Since(begun)
	r.Took = took.Seconds()
	fields := []zap.Field{zap.Duration("took", took)}
	if !r.OK {
		fields = append(fields, zap.Strings("failed", failed))
	}
	p.log.Info("reload finished", fields...)
	return r
}

// reloadLog reopens the log file if it was moved. The entry is in the new file, whatever the level is.
func (p *process) reloadLog(by string) console.ReloadedPart {
	reopened, err := p.log.CheckFile()
	p.log.Always.Info("reloading", zap.String("by", by))
	part := console.ReloadedPart{What: console.Unchanged, Error: textOf(err)}
	if reopened {
		part.What = console.Reopened
	}
	return part
}

func (p *process) reloadPlaces() console.ReloadedPart {
	file, ok := p.places.(*places.File)
	if !ok {
		return console.ReloadedPart{What: console.NotConfigured}
	}
	begun := time.Now()
	err := file.Reload()
	if err != nil {
		p.log.Error("places file reload failed, keeping the old places", zap.Error(err))
	} else {
		p.log.Info("places file reloaded", zap.Int("places", file.Len()),
			zap.Int("skipped", file.Report().Skipped), zap.Duration("took", time.Since(begun)))
	}
	return console.ReloadedPart{What: console.Reread, Count: new(file.Len()), Skipped: file.Report().Skipped, Error: textOf(err)}
}

// textOf is the text of an error; "" without one.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
