//go:build race

package natstest

func init() { manyEntries = 20_000 } // nats-server is slow with the race detector
