// Package places answers what is near a position: with the data set in the binary (Embedded), or,
// in package places/google, with Google's answer. Either answer is a Nearby Search object, and
// AppendJSON writes it as a server replies with it. File answers likewise from a file of the
// operator's own.
//
// The embedded data are the populated places of GeoNames and the airports of OurAirports, packed by
// places/generate into two files, each under its own licence; NOTICE names them. They are real and
// they are coarse: towns and neighborhoods, airfields and heliports, no shops. Nothing that the
// sources do not say is made up, neither ratings nor hours nor icons.
//
// # A file of places
//
// A file whose name ends in .csv is as RFC 4180 has it; its first line names the columns, in any
// order. One that ends in .ndjson or .jsonl has a JSON object on each line. Either is UTF-8, and each
// place has
//
//	name      up to 1,024 bytes without control characters, not empty
//	lat, lng  degrees as decimal numbers, -90 to 90 and -180 to 180
//	types     optional: up to 20 words such as train_station; in CSV with | between them
//	vicinity  optional: up to 1,024 bytes without control characters
//
// and nothing else. Up to 2,000,000 places, 256 MiB. LF and CRLF end a line, a byte order mark in
// front and empty lines are passed over, and the rest is strict: the first mistake refuses the whole
// file by line and column, for half a file is worse than yesterday's. Answers are by distance, and at
// one distance as in the file. A place_id is a hash of name, position and types: it outlives the
// place's line number and its vicinity, and a place that is listed twice has the same one twice.
//
// The new file should be moved into the old one's place: half of a file that is being written may
// look like a whole one.
package places
