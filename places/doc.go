// Package places answers what is near a position: with the data set in the binary (Embedded), or,
// in package places/google, with Google's answer. Either answer is a Nearby Search object, and
// AppendJSON writes it as a server replies with it.
//
// The embedded data are the populated places of GeoNames and the airports of OurAirports, packed by
// places/generate into two files, each under its own licence; NOTICE names them. They are real and
// they are coarse: towns and neighborhoods, airfields and heliports, no shops. Nothing that the
// sources do not say is made up, neither ratings nor hours nor icons.
package places
