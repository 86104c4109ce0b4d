// Package sockets is what engines with kernel sockets share: binding, accepting, dialing, and an orderly shutdown of
// these. An engine embeds a Gate and supplies the function that brings a connection onto its loop.
//
// Connections over TLS are the same for all engines: they are on the engine's loop, but with a second kind of socket,
// stream. crypto/tls can only block, so goroutines of the stream read and write. A connection begins with TLS, on a
// TLSListener or dialed for a TLSFactory, or goes on with it (StartTLS) when its first bytes show that it is TLS.
//
//	accepted ── handshake ──▶ Accept with a stream        TLSListener: the loop sees it when the handshake is done
//	engine's socket ── StartTLS ──▶ handshake ──▶ stream  the loop has it all the time; output waits for the handshake
package sockets
