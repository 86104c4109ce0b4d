// Command herd runs the servers of a herd and has the client commands, see herd --help. Each subcommand is
// one file. Only serve.go assembles a server from its parts: engine, logger, places provider and console.
package main
