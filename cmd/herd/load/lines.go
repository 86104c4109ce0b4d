package load

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// lines generates the requests of one connection. The same seed generates the same requests.
type lines struct {
	random  *rand.Rand
	zipf    *rand.Zipf // nil for a uniform distribution
	clients uint64
	// The ids of IAMATs without zipf: first, first+step, ..., own in total.
	first, own uint64
	iamat      int // share of IAMATs, out of all
	all        int
	whatsat    []byte // the end of a WHATSAT, after the id
	stamp      uint64 // earliest time of the next IAMAT, in microseconds since 1970
	step       uint64 // between two of them
	redis      bool
}

// newLines returns the generator for connection k of n. No two connections of a run use the same time or,
// if there are enough ids, the same id in IAMATs.
func newLines(o *Options, k, n int) *lines {
	source := rand.NewPCG(o.Seed, uint64(k))
	l := &lines{
		// #nosec G404 -- one seed is one load
		random: rand.New(source), clients: uint64(o.Clients), iamat: o.IAMAT, all: o.IAMAT + o.WHATSAT,
		stamp: uint64(o.Epoch.UnixMicro()) + uint64(k), step: uint64(n),
		redis: o.Redis,
	}
	l.first = uint64(k) % l.clients
	l.own = (l.clients - l.first + l.step - 1) / l.step
	if o.Zipf > 1 {
		l.zipf = rand.NewZipf(l.random, o.Zipf, 1, l.clients-1)
	}
	l.whatsat = append(l.whatsat, ' ')
	l.whatsat = strconv.AppendInt(l.whatsat, int64(o.RadiusKM), 10)
	l.whatsat = append(l.whatsat, ' ')
	l.whatsat = strconv.AppendInt(l.whatsat, int64(o.Bound), 10)
	return l
}

// appendNext appends the next request without its LF and reports whether it is a WHATSAT. An IAMAT has the time
// now, in microseconds since 1970, or the next time that this connection has not used; 0 is for the latter.
func (l *lines) appendNext(dst []byte, now uint64) (line []byte, whatsat bool) {
	whatsat = l.iamat < l.all && l.random.IntN(l.all) >= l.iamat
	var id uint64
	switch {
	case l.zipf != nil:
		id = l.zipf.Uint64()
	case whatsat:
		id = l.random.Uint64N(l.clients)
	default:
		id = l.first + l.step*l.random.Uint64N(l.own)
	}
	if whatsat {
		return append(appendID(append(dst, "WHATSAT "...), id), l.whatsat...), true
	}
	if l.redis {
		return appendGEOADD(dst, id, l.random.Uint64()), false
	}
	if now > l.stamp { // by multiples of step, as other connections use the times between
		l.stamp += (now - l.stamp) / l.step * l.step
	}
	dst = appendIAMAT(dst, id, l.random.Uint64(), l.stamp)
	l.stamp += l.step
	return dst, false
}

// Known returns the ids of the clients that a run updates: how many, the first and the last. They stay in
// the herd.
func (o *Options) Known() (n int, first, last string) {
	checked := *o
	if checked.Check() != nil || checked.Connections == 0 && checked.WHATSAT == 0 {
		return 0, "", ""
	}
	return checked.Clients, string(appendID(nil, 0)), string(appendID(nil, uint64(checked.Clients)-1))
}

// appendIAMAT appends an IAMAT with a position derived from the random number chance.
func appendIAMAT(dst []byte, id, chance, stamp uint64) []byte {
	dst = append(appendID(append(dst, "IAMAT "...), id), ' ')
	dst = appendDegrees(dst, chance>>32, 90)
	dst = append(appendDegrees(dst, chance&0xffffffff, 180), ' ')
	dst = strconv.AppendUint(dst, stamp/1e6, 10)
	return appendDigits(append(dst, '.'), stamp%1e6, 6)
}

func appendID(dst []byte, id uint64) []byte { return appendDigits(append(dst, "load"...), id, 7) }

// appendDegrees appends a coordinate from -most to most, derived from 32 random bits.
func appendDegrees(dst []byte, chance, most uint64) []byte {
	sign := byte('+')
	if chance&1 != 0 {
		sign = '-'
	}
	v := chance * most * 1e6 >> 32
	dst = strconv.AppendUint(append(dst, sign), v/1e6, 10)
	return appendDigits(append(dst, '.'), v%1e6, 6)
}

// appendDigits appends v with leading zeros.
func appendDigits(dst []byte, v uint64, digits int) []byte {
	for range digits {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// appendPreload appends IAMATs for a range of ids, with times before those of the run.
func appendPreload(dst []byte, o *Options, from, to int) []byte {
	stamp := uint64(o.Epoch.Add(-time.Second).UnixMicro())
	// #nosec G404 -- one seed is one load
	random := rand.New(rand.NewPCG(o.Seed, 1<<63))
	for id := from; id < to; id++ {
		dst = append(appendIAMAT(dst, uint64(id), random.Uint64(), stamp), '\n')
	}
	return dst
}
