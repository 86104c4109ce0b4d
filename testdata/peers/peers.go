// Package peers holds the text of servers that speak as the herd's do and stand on other event
// loops, so that a program can bring them along.
//
//   - python: one server for asyncio and for Twisted, each as an expert of it would write it.
//   - node: the same for Node.js.
//   - twisted: the paper's own prototype as its text has it, on today's Twisted. It is no part of
//     Files: it is a neighbor for tests, and knows no line that ends in LF alone.
//
// Those of Files answer clients with the herd's own bytes, in the dialect "paper", except that every
// WHATSAT gets places.json, and that there are no limits but the length of a line, the length of
// a name and an hour of future. Between servers they speak as the paper does: plain AT lines.
package peers

import "embed"

// Files are the servers and what they read.
//
//go:embed places.json python/*.py node/*.js
var Files embed.FS
