package main

import (
	"github.com/spf13/cobra"

	"serverherd/herd"
)

func newConfig(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "config",
		Short:   "Check herd.toml and print it with all defaults filled in",
		Example: "  herd config\n  herd config --config herd.toml",
		Args:    arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.loadForServer()
			if err != nil {
				return err
			}
			for _, s := range cfg.Servers {
				if err := cfg.CheckServer(s); err != nil {
					return err
				}
			}
			if err := cfg.WriteTOML(c.OutOrStdout()); err != nil {
				return err
			}
			return herd.WriteConstants(c.OutOrStdout())
		},
	}
}
