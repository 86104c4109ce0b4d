// Package sockets is what engines over the kernel's sockets share: binding, accepting, dialing, and
// ending all of that in good order. An engine embeds a Gate and tells it how a connection comes onto
// its loop.
package sockets
