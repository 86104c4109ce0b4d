// Package protocol is the grammar of the herd: it takes lines apart and puts them together, for
// clients and between servers. It is pure: bytes in, values out, no state, no clock, no I/O.
//
// A line is fields separated by white space. Parse takes a client's command, ParseLink a line
// between servers; both alias the line and allocate nothing as long as it is well-formed. The
// Append functions write a line or a reply behind what a buffer holds already. A Record is the
// stored form of an AT line: one byte string, made once by the server that received the IAMAT and
// passed on verbatim.
//
// What a client sends is never trusted: fields are compared as exact decimals or as bytes, and what
// a reason repeats of a line is escaped by Printable.
package protocol
