package main

import (
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/ask"
	"serverherd/cmd/herd/client"
	"serverherd/herd/config"
)

// tokenVariable is the environment variable that may hold the token instead of --token.
const tokenVariable = "HERD_TOKEN"

// tokenName is the flag of commands that speak to servers or consoles.
const tokenName = "token"

// secretValue is a flagValue that no message has.
type secretValue struct{ *reasonedValue }

// String implements pflag.Value.
func (*secretValue) String() string { return "" }

// tokenFlag adds --token.
func (o *options) tokenFlag(c *cobra.Command) {
	v := &flagValue{"", "string", "a token", func(text string) bool {
		if client.CheckToken(text) != nil {
			return false
		}
		o.token = text
		return true
	}}
	c.Flags().Var(&secretValue{&reasonedValue{v, client.CheckToken}}, tokenName,
		"`token` to present (default $"+tokenVariable+", which other users cannot see)")
	complete(c, tokenName, cobra.NoFileCompletions)
}

// readToken takes the token of the environment if the command has --token and it is not given.
func (o *options) readToken(c *cobra.Command) error {
	if f := c.Flags().Lookup(tokenName); f == nil || f.Changed {
		return nil
	}
	token := os.Getenv(tokenVariable)
	if token == "" {
		return nil
	}
	if err := client.CheckToken(token); err != nil {
		return usage("$%s: want a token: %v", tokenVariable, err)
	}
	o.token = token
	return nil
}

// writtenToken is --token, written with one dash or with a mistake, in an error of the flag parser: -token=x is
// -t oken=x.
var writtenToken = regexp.MustCompile(`(?i)(oken[=:])\S+`)

// asker returns a client for the consoles of a herd. It sends the token, or signs with the herd's secret.
func (o *options) asker(cfg *config.Config, timeout time.Duration) *ask.Client {
	a := ask.Options{Timeout: timeout, Token: o.token,
		Advice: "set $" + tokenVariable + " to a token with the right console, or use a herd.toml with the herd's secret"}
	switch {
	case o.token != "":
		a.Advice = "--token or $" + tokenVariable + " must be a token with the right console"
	case len(cfg.Herd.Secrets) > 0:
		a.Secret = cfg.Herd.Secrets[0]
		a.Advice = "the herd's secret must be the same here and there, and the clocks, or set $" + tokenVariable +
			" to a token with the right console"
	case cfg.Herd.SecretMissing != nil:
		a.Advice = "set $" + tokenVariable + " to a token with the right console, or be a user who may read the herd's secret: " +
			cfg.Herd.SecretMissing.Error()
	}
	a.TLS = consoleTLS(cfg)
	return ask.New(a)
}

// operator is asker for commands that change something: they need a token, but not on loopback.
func (o *options) operator(cfg *config.Config, timeout time.Duration) *ask.Client {
	a := ask.Options{Timeout: timeout, Token: o.token, TLS: consoleTLS(cfg),
		Advice: "set $" + tokenVariable + " to a token with the right operate"}
	if o.token != "" {
		a.Advice = "--token or $" + tokenVariable + " must be a token with the right operate"
	}
	return ask.New(a)
}
