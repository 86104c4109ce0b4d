package main

import "github.com/spf13/cobra"

// newStudy tells users of the former subcommand about bin/study.
func newStudy() *cobra.Command {
	return &cobra.Command{
		Use: "study", Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return usage("study is a separate program now, bin/study: run make study")
		},
	}
}
