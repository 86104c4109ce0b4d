package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"serverherd/cmd/herd/console"
	"serverherd/herd"
	"serverherd/places"
)

// reloads are the requests to read files again. One reload runs at a time: what is requested meanwhile runs
// after it, and all of that is one reload. Between two that consoles ask for there is a pause: a places file may
// be large, and who asks may be any account of the machine. Any goroutine may request one.
type reloads struct {
	wake chan struct{} // has a value if something may be waiting

	mu     sync.Mutex
	by     []string               // who has requested the next reload, each once
	urgent bool                   // one of them does not wait for the pause
	next   *console.PendingReload // for consoles that wait for its end; nil if none does
}

func newReloads() *reloads { return &reloads{wake: make(chan struct{}, 1)} }

// request requests a reload as soon as none is running.
func (r *reloads) request(by string) {
	r.mu.Lock()
	r.urgent = true
	r.add(by)
	r.mu.Unlock()
}

// ask requests a reload for a console. All who ask for the same one share it, so that those who leave before its end
// leave nothing behind.
func (r *reloads) ask(by string) *console.PendingReload {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = console.NewPendingReload()
	}
	r.add(by)
	return r.next
}

// add is called with mu.
func (r *reloads) add(by string) {
	if !slices.Contains(r.by, by) {
		r.by = append(r.by, by)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// serve calls reload for what was requested, with who did. It does not return.
func (r *reloads) serve(reload func(by string) console.Reloaded) {
	var next time.Time // not before, for a console
	for range r.wake {
		for pause := time.Until(next); pause > 0 && !r.isUrgent(); pause = time.Until(next) {
			select {
			case <-time.After(pause):
			case <-r.wake:
			}
		}
		by, pending := r.take()
		if len(by) == 0 {
			continue // it was part of the reload before
		}
		result := reload(strings.Join(by, ", "))
		if pending != nil {
			pending.End(result)
			next = time.Now().Add(herd.ConsoleReloadPause)
		}
	}
}

func (r *reloads) isUrgent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.urgent
}

// take returns who the next reload is for.
func (r *reloads) take() (by []string, pending *console.PendingReload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	by, pending = r.by, r.next
	r.by, r.next, r.urgent = nil, nil, false
	return by, pending
}

// reload reopens the log file if it was moved, and reads the tokens, the certificates and the places file again,
// if there are any. What has failed stays as it was. It is called by reloads only.
func (p *process) reload(by string) console.Reloaded {
	defer p.service.Reloading()()
	begun := time.Now()
	r := console.Reloaded{Server: p.self.Name}
	var failed, delayed []string
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
		switch {
		case one.What == console.Delayed:
			delayed = append(delayed, part.name)
		case one.Error != "":
			one.What = console.Failed
			failed = append(failed, part.name)
		}
		r.Parts = append(r.Parts, one)
	}
	took := time.Since(begun)
	r.Took, r.OK = took.Seconds(), len(failed)+len(delayed) == 0
	fields := []zap.Field{zap.Duration("took", took)}
	if len(failed) > 0 {
		fields = append(fields, zap.Strings("failed", failed))
	}
	if len(delayed) > 0 {
		fields = append(fields, zap.Strings("delayed", delayed))
	}
	p.log.Info("reload finished", fields...)
	return r
}

// reloadLog reopens the log file if it was moved. The entry is in the new file, whatever the level is.
func (p *process) reloadLog(by string) console.ReloadedPart {
	reopened, err := p.log.CheckFile()
	p.log.Always.Info("reloading", zap.String("by", by))
	if err != nil {
		p.log.Error("log file reload failed", zap.Error(err))
	}
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
	return console.ReloadedPart{
		What: console.Reread, Count: new(file.Len()), Skipped: file.Report().Skipped, Error: textOf(err),
	}
}

// textOf is the text of an error; "" without one.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
