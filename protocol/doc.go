// Package protocol parses and writes the lines of the herd: commands and replies of clients, and the lines
// between servers. It is pure: no state, no clock, no I/O.
//
// A line is a list of fields separated by white space. Parse parses a client's command, ParseLink a line
// between servers. Both return values that alias the line, and do not allocate for well-formed lines. The Append
// functions append a line or a reply to a buffer. A Record is the stored form of an AT line: one byte string,
// made once by the server that received the IAMAT and forwarded verbatim.
//
// Client input is not trusted: fields are compared as exact decimals or as bytes, and a reason that repeats
// part of a line escapes it, see Printable.
package protocol
