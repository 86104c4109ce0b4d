// Package sockets is what engines with kernel sockets share: binding, accepting, dialing, and an orderly shutdown of
// these. An engine embeds a Gate and supplies the function that brings a connection onto its loop.
package sockets
