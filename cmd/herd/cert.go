package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"serverherd/cmd/herd/certs"
	"serverherd/herd/config"
)

// maxCertDays bounds --days of herd cert.
const maxCertDays = 825

func newCert(o *options) *cobra.Command {
	var days int
	var force bool
	c := &cobra.Command{
		Use:   "cert [NAME...]",
		Short: "Make a development CA and a certificate for each server",
		Long: "Make certificates for the servers of herd.toml, or for those that are named, at\n" +
			"the paths of [tls]: ca, cert and key. The authority (CA) that signs them is made\n" +
			"at the first time; its key is beside it, as ca-key.pem. Keep that key away from\n" +
			"the servers: whoever has it can be any of them.\n\n" +
			"A certificate has the server's name, which neighbors check, and the hosts of its\n" +
			"addresses and localhost, which clients and browsers check, unless that is the\n" +
			"name of another server. One that exists is kept, unless --force is set; if it\n" +
			"cannot be used, the exit code is 1. Servers that run read a new one within\n" +
			"seconds.",
		Example: "  herd cert\n  herd cert Alford --force --days 30",
		Args:    arguments(0, -1), ValidArgsFunction: o.completeServers,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := o.load()
			if err != nil {
				return err
			}
			servers := cfg.Servers
			if len(args) > 0 {
				servers = nil
				for _, name := range args {
					s, err := find(cfg, name)
					if err != nil {
						return err
					}
					servers = append(servers, s)
				}
			}
			return makeCerts(c, cfg, servers, time.Duration(days)*24*time.Hour, force)
		},
	}
	wholeFlag(c.Flags(), &days, "days", 365, 1, maxCertDays, "validity of each certificate in days")
	c.Flags().BoolVar(&force, "force", false, "replace certificates that exist")
	return c
}

// makeCerts makes the authority, if there is none, and the servers' certificates, and prints what it writes. It makes none
// if two of them would have the same file.
func makeCerts(c *cobra.Command, cfg *config.Config, servers []config.Server, life time.Duration, force bool) error {
	if err := distinct(cfg, servers); err != nil {
		return err
	}
	out, bad := c.OutOrStdout(), false
	written := func(files ...string) {
		for _, file := range files {
			fmt.Fprintf(out, "written  %s\n", file)
		}
	}
	for _, s := range servers {
		files, others := cfg.TLS.Of(s.Name), cfg.Others(s.Name)
		_, err := os.Stat(files.Cert)
		switch {
		case err == nil && !force:
			what := ""
			if err := certs.Check(files, s.Name, others...); err != nil {
				what, bad = ", but "+err.Error(), true
			}
			fmt.Fprintf(out, "kept     %s%s (--force replaces it)\n", files.Cert, what)
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		ca, created, err := certs.OpenAuthority(files.CA, cfg.Herd.Name, life)
		if err != nil {
			return err
		}
		written(created...)
		if err := ca.Make(files, s, life, others...); err != nil {
			return err
		}
		written(files.Cert, files.Key)
		for _, host := range certs.Omitted(s, others) {
			fmt.Fprintf(out, "without  %s in %s: it is the name of another server\n", host, files.Cert)
		}
	}
	if !cfg.UsesTLS() {
		fmt.Fprint(out, "\nTo use them, write into herd.toml and restart one server after another:\n\n"+
			"    [tls]\n    links = \"optional\"     # then, after another round of restarts, \"required\"\n\n"+
			"    [clients]\n    tls = \"optional\"\n\n    [console]\n    tls = \"optional\"\n")
	}
	if bad {
		return errFailed
	}
	return nil
}

// distinct returns an error if a file of a server would be written twice.
func distinct(cfg *config.Config, servers []config.Server) error {
	made := map[string]bool{}
	for _, s := range servers {
		files := cfg.TLS.Of(s.Name)
		if made[files.Cert] || made[files.Key] {
			return errors.New("tls.cert or tls.key is the same file for several servers: write {name} into both, as in tls/{name}.pem")
		}
		own := map[string]bool{files.Cert: true, files.Key: true, files.CA: true, certs.KeyFile(files.CA): true}
		if len(own) < 4 {
			return errors.New("tls.ca, tls.cert, tls.key and the key beside tls.ca must be different files")
		}
		made[files.Cert], made[files.Key] = true, true
	}
	return nil
}
