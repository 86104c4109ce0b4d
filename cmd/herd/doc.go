// Command herd runs and asks the server herd: see `herd --help`. One file holds one subcommand;
// what a server is made of (engine, logger, places provider, console) is put together in serve.go
// and nowhere else.
package main
