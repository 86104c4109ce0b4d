// Package recorder is a server's flight recorder: what happened to the latest updates here, kept in two rings of fixed
// size. An observer reads the rings of all servers and sees how an update spread: who had it from whom, when, and
// which AT lines were duplicates.
//
// # Recent and sampled
//
// The recent ring takes every event. At a high rate it holds a fraction of a second. The sampled ring takes the
// events of some updates only: those whose record hash begins with K zero bits. The hash is the record's summand of
// the digest, so it is the same on every server, and all servers sample the same updates without a word about it.
// K follows the rate of this server, so that the sampled ring holds the last minute. Servers may differ in K: an
// observer that uses the greatest K, of all servers and of all events of the period, sees updates without gaps. Each
// event has the K that was in force.
//
// # Events
//
//	kind       neighbor    positions      meaning
//	stored                 position       an IAMAT of a client of this server was stored
//	applied    from        position       an AT line was new
//	duplicate  from                       an AT line was not
//	read                   position       an entry of the bucket was new, but not while the whole bucket was read
//	sent       to          first, last    AT lines were written; one event per pump
//	copied     from        first, last    AT lines of a copy or resume: numbers of those that were new and of the
//	                                      others; one event per MARK
//
// Positions are those of this server's feed. sent covers a record if its position is in the range, unless the record
// came from that neighbor, which is not sent it, or was replaced before. copied covers a record if its position is in the
// range and the record came from that neighbor.
//
// Times are monotonic, since the recorder was made, and those of the turn of the event loop: several events of one turn
// may have one time, and an event may be up to the duration of a turn later than its time says.
package recorder
