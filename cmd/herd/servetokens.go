package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.uber.org/zap"

	"serverherd/cmd/herd/console"
	"serverherd/herd"
	"serverherd/herd/access"
	"serverherd/herd/config"
)

// tokensState is about the file with the tokens, for the status.
type tokensState struct {
	loaded time.Time // when the tokens in force were read
	err    string    // why a later version of the file is not in force
}

// loadTokens reads the file with the tokens, if there is one. If it cannot be read, or has a mistake, the former tokens
// stay.
func (p *process) loadTokens() error {
	file := p.cfg.Clients.Tokens
	if file == "" {
		return nil
	}
	tokens, err := readTokens(file)
	if err != nil {
		if former := p.tokensState.Load(); former != nil {
			p.tokensState.Store(&tokensState{former.loaded, err.Error()})
		} else if errors.Is(err, fs.ErrNotExist) { // not at SIGHUP: a new file would revoke all tokens
			err = fmt.Errorf("%w; herd token NAME --add creates it", err)
		}
		return err
	}
	p.tokens.Store(tokens)
	p.tokensState.Store(&tokensState{loaded: time.Now()})
	return nil
}

func readTokens(file string) (*access.Tokens, error) {
	text, err := config.ReadSecret(file)
	if err != nil {
		return nil, fmt.Errorf("clients.tokens: %w", err)
	}
	tokens, err := access.Parse(file, text)
	if err != nil {
		return nil, fmt.Errorf("clients.tokens: %w", err)
	}
	return tokens, nil
}

// reloadTokens reads the file again, and closes the connections, to the console, too, whose token is gone.
func (p *process) reloadTokens() console.ReloadedPart {
	if p.cfg.Clients.Tokens == "" {
		return console.ReloadedPart{What: console.NotConfigured}
	}
	err := p.loadTokens()
	tokens := p.tokens.Load()
	part := console.ReloadedPart{What: console.Reread, Count: new(len(tokens.All())), Error: textOf(err)}
	if err != nil {
		p.log.Error("tokens reload failed, keeping the old tokens", zap.Error(err))
		return part
	}
	p.log.Info("tokens reloaded", zap.Int("tokens", *part.Count))
	p.door.SetTokens(tokens)
	taken := make(chan struct{})
	p.reactor.CallFromThread(func() {
		p.server.SetTokens(tokens)
		close(taken)
	})
	select { // who hears that they are reloaded may rely on it
	case <-taken:
	case <-time.After(loopPatience):
		if p.stopping.Load() {
			break // the loop has ended, and with it all clients
		}
		err := fmt.Errorf("the event loop has not answered within %v: clients have the new tokens when it does",
			loopPatience)
		p.log.Error("tokens reload delayed", zap.Error(err))
		part.What, part.Error = console.Delayed, err.Error()
	}
	return part
}

// loopPatience is how long a reload waits for the event loop.
const loopPatience = 2 * time.Second

// fillTokens adds what the server does not know.
func (p *process) fillTokens(s *herd.TokensStatus) {
	if state := p.tokensState.Load(); s != nil && state != nil {
		s.Loaded, s.Error = state.loaded, state.err
	}
}
