package main

import "github.com/spf13/cobra"

// newStudy says where the study is, for one version: it was a subcommand.
func newStudy() *cobra.Command {
	return &cobra.Command{
		Use: "study", Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return usage("study is now a program of its own, bin/study: make study builds and runs it")
		},
	}
}
