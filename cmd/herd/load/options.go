package load

import (
	"errors"
	"fmt"
	"time"

	"serverherd/protocol"
)

// Target is a server to be loaded.
type Target struct {
	Name string // for the report
	Addr string // host:port
	PID  int    // of its process, if that is on this machine and known; its CPU is then measured
}

// Options say what load, where and for how long. The zero values of Threads to Clients mean the
// defaults given.
type Options struct {
	Targets []Target // connections are spread over them in turn
	Dialect protocol.Dialect

	Connections int           // that send
	Threads     int           // event loops; 1
	Pipeline    int           // lines in flight on a connection; 1, and 64 with a Rate
	Rate        float64       // lines due in a second, all connections together; 0: closed loop
	ConnectRate float64       // connections made in a second; 0: as fast as they are accepted
	Duration    time.Duration // that is measured
	Warmup      time.Duration // before that
	IAMAT       int           // parts of IAMAT and
	WHATSAT     int           // of WHATSAT in the mix; neither: only IAMAT
	RadiusKM    int           // of WHATSATs
	Bound       int           // likewise
	Clients     int           // different client ids; 1,000, or as many as connections if they are more
	Zipf        float64       // skew of the ids, above 1; 0: all alike

	Idle        int     // connections that send nothing, besides
	SlowReaders int     // connections that send and hardly read, besides
	Churn       float64 // connections a second that send one line and end, besides

	// Redis says that the targets are Redis servers. They are sent a GEOADD of the same id and
	// position for each IAMAT, the only line there is then, and each reply is looked at likewise.
	Redis bool

	Seed  uint64
	Epoch time.Time // time of the first line; later ones are a microsecond apart

	// OnBegin and OnEnd, if not nil, are called when the measured time begins and when it ends, for
	// looking at the servers then.
	OnBegin, OnEnd func()
	// OnSecond, if not nil, is told each second how things go.
	OnSecond func(Second)

	// Timeout is how long to wait for a connection, for the next reply when the last line has been sent,
	// and for each reply to a line that is sent by itself. 0: 5 s.
	Timeout time.Duration

	drain time.Duration // how long replies are waited for after the last line, in all; see maxDrain
}

const (
	defaultTimeout = 5 * time.Second
	// maxDrain is how long replies are waited for when the last line has been sent, unless Timeout is
	// longer.
	maxDrain = 10 * time.Second
)

// Bounds of Options. A loop that owes more lines than it can make is busy with them for ever, and
// what is rarer than once in a quarter of an hour is a mistake; a line in flight costs about 120 bytes
// here.
const (
	MinRate     = 0.001      // of Rate, ConnectRate and Churn, if they are not 0
	MaxRate     = 10_000_000 // of Rate and ConnectRate
	MaxChurn    = 100_000
	MaxPipeline = 1 << 16
	MaxClients  = 10_000_000
	MaxZipf     = 100
	MaxDuration = 1000 * time.Hour // of Duration and of Warmup

	maxInFlight = 4 << 20
)

// Check fills in defaults and says what cannot be. Run and FindMax check for themselves.
func (o *Options) Check() error {
	for _, d := range []struct {
		value *int
		ifNot int
	}{{&o.Threads, 1}, {&o.Clients, max(1000, o.Connections)}} {
		if *d.value == 0 {
			*d.value = d.ifNot
		}
	}
	if o.Pipeline == 0 {
		o.Pipeline = 1
		if o.Rate > 0 {
			o.Pipeline = 64
		}
	}
	if o.IAMAT == 0 && o.WHATSAT == 0 {
		o.IAMAT = 1
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.drain == 0 {
		o.drain = max(maxDrain, o.Timeout)
	}
	if o.Epoch.IsZero() {
		o.Epoch = time.Now()
	}
	for _, d := range []struct {
		what       string
		rate, most float64
	}{
		{"a rate of %g lines", o.Rate, MaxRate}, {"%g connections", o.ConnectRate, MaxRate},
		{"%g clients that come and go", o.Churn, MaxChurn},
	} {
		if !(d.rate == 0 || d.rate >= MinRate && d.rate <= d.most) { // nor is NaN
			return fmt.Errorf(d.what+" in a second: it is 0, or from %g to %.0f", d.rate, MinRate, d.most)
		}
	}
	switch {
	case len(o.Targets) == 0:
		return errors.New("no server to load")
	case o.Connections < 1 && o.Idle == 0 && o.Churn == 0:
		return errors.New("no connections")
	case o.Connections < 0 || o.Idle < 0 || o.SlowReaders < 0:
		return errors.New("a number of connections is negative")
	case o.Connections == 0 && (o.Rate > 0 || o.Pipeline > 1):
		return errors.New("a rate or a pipeline needs connections that send")
	case o.Threads < 1 || o.Threads > max(1, o.Connections):
		return fmt.Errorf("%d threads for %d connections", o.Threads, o.Connections)
	case o.Pipeline < 1 || o.Pipeline > MaxPipeline:
		return fmt.Errorf("a pipeline of %d lines is not between 1 and %d", o.Pipeline, MaxPipeline)
	case o.Connections*o.Pipeline > maxInFlight:
		return fmt.Errorf("%d connections with %d lines in flight each: %d in all are too many, at most %d",
			o.Connections, o.Pipeline, o.Connections*o.Pipeline, maxInFlight)
	case o.Duration <= 0 || o.Duration > MaxDuration:
		return fmt.Errorf("a duration of %v is not above 0 and at most %v", o.Duration, MaxDuration)
	case o.Warmup < 0 || o.Warmup > MaxDuration:
		return fmt.Errorf("a warm-up of %v is not between 0 and %v", o.Warmup, MaxDuration)
	case o.Timeout < 0:
		return fmt.Errorf("a timeout of %v is negative", o.Timeout)
	case o.IAMAT < 0 || o.WHATSAT < 0:
		return errors.New("a part of the mix is negative")
	case o.Clients < 1 || o.Clients > MaxClients:
		return fmt.Errorf("%d client ids are not between 1 and 10,000,000", o.Clients)
	case o.Zipf != 0 && !(o.Zipf > 1 && o.Zipf <= MaxZipf):
		return fmt.Errorf("a skew of %g is not above 1, and at most %d", o.Zipf, MaxZipf)
	case o.RadiusKM < 0 || o.RadiusKM > protocol.MaxRadiusKM || o.Bound < 0 || o.Bound > protocol.MaxBound:
		return fmt.Errorf("WHATSATs have a radius from 0 to %d km and a bound from 0 to %d",
			protocol.MaxRadiusKM, protocol.MaxBound)
	case o.Redis && (o.WHATSAT > 0 || o.SlowReaders > 0 || o.Churn > 0):
		return errors.New("a Redis server is sent GEOADDs and nothing else")
	case o.WHATSAT > 0 && o.Clients > 1_000_000:
		return errors.New("WHATSATs need ids that the servers know: 1,000,000 at most")
	}
	return nil
}
