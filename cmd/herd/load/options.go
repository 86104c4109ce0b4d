package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"serverherd/protocol"
)

// Target is a server under load.
type Target struct {
	Name string      // for the report
	Addr string      // host:port
	TLS  *tls.Config // nil without TLS
	PID  int         // its process id, if it is known and on this machine, to measure its CPU time
}

// Options configure a load. Zero values of Threads to Clients mean the defaults in their comments.
type Options struct {
	Targets []Target // connections are distributed round-robin
	Dialect protocol.Dialect

	Connections int           // that send requests
	Threads     int           // event loops; default 1
	Pipeline    int           // requests in flight per connection; default 1, or 64 with a Rate
	Rate        float64       // requests per second over all connections; 0 for a closed loop
	ConnectRate float64       // new connections per second; 0 for as fast as they are accepted
	Duration    time.Duration // measured time
	Warmup      time.Duration // before that
	IAMAT       int           // share of IAMAT and
	WHATSAT     int           // of WHATSAT in the mix; default only IAMAT
	RadiusKM    int           // of WHATSATs
	Bound       int           // likewise
	Clients     int           // number of client ids; default 1,000, or Connections if that is more
	Zipf        float64       // Zipf skew of the ids, above 1; 0 for a uniform distribution

	Idle        int     // additional connections that send nothing
	SlowReaders int     // additional connections that send and hardly read
	Churn       float64 // additional short connections per second, with one request each

	// Redis means that the targets are Redis servers. Each IAMAT is replaced by a GEOADD of the same id and
	// position, and replies are checked accordingly. There are no WHATSATs.
	Redis bool

	// Token is presented at the beginning of each connection, see client.Handshake. The exchange is in no count and no
	// latency but Report.Token. Empty: none.
	Token string

	Seed uint64
	// Epoch is the time in the first IAMAT, and later ones are a microsecond apart. If it is zero, Check sets it
	// to the current time, and each IAMAT has the time at which it is sent.
	Epoch time.Time

	// OnBegin and OnEnd, if not nil, are called at the beginning and end of the measured time.
	OnBegin, OnEnd func()
	// OnSecond, if not nil, is called every second.
	OnSecond func(Second)

	// Timeout is the timeout of connecting, of the next reply after the last request, and of each reply to
	// a request outside the loops. 0 for 5 s.
	Timeout time.Duration

	current bool          // Epoch was zero: IAMATs have the time at which they are sent
	drain   time.Duration // total time to wait for replies after the last request; see maxDrain
}

const (
	defaultTimeout = 5 * time.Second
	// maxDrain is the total time to wait for replies after the last request, unless Timeout is longer.
	maxDrain = 10 * time.Second
)

// Limits of Options. A loop with more requests due than it can create would never do anything else, and a
// rate below once in 15 minutes is a mistake. A request in flight takes about 120 bytes.
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

// Check sets defaults and returns an error for invalid options. Run and FindMax call it.
func (o *Options) Check() error {
	for _, d := range []struct {
		value *int
		def   int
	}{{&o.Threads, 1}, {&o.Clients, max(1000, o.Connections)}} {
		if *d.value == 0 {
			*d.value = d.def
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
		o.Epoch, o.current = time.Now(), true
	}
	for _, d := range []struct {
		what       string
		rate, most float64
	}{
		{"request rate", o.Rate, MaxRate}, {"connect rate", o.ConnectRate, MaxRate},
		{"churn rate", o.Churn, MaxChurn},
	} {
		if !(d.rate == 0 || d.rate >= MinRate && d.rate <= d.most) { // NaN is invalid, too
			return fmt.Errorf("invalid %s %g per second: expected 0 or from %g to %.0f", d.what, d.rate, MinRate, d.most)
		}
	}
	if err := o.checkToken(); err != nil {
		return err
	}
	switch {
	case len(o.Targets) == 0:
		return errors.New("no target server")
	case o.Connections < 1 && o.Idle == 0 && o.Churn == 0:
		return errors.New("no connections")
	case o.Connections < 0 || o.Idle < 0 || o.SlowReaders < 0:
		return errors.New("negative number of connections")
	case o.Connections == 0 && (o.Rate > 0 || o.Pipeline > 1):
		return errors.New("a rate or pipeline requires connections that send")
	case o.Threads < 1 || o.Threads > max(1, o.Connections):
		return fmt.Errorf("invalid number of threads %d: expected from 1 to the number of connections, %d", o.Threads, o.Connections)
	case o.Pipeline < 1 || o.Pipeline > MaxPipeline:
		return fmt.Errorf("invalid pipeline %d: expected from 1 to %d", o.Pipeline, MaxPipeline)
	case o.Connections*o.Pipeline > maxInFlight:
		return fmt.Errorf("too many requests in flight: %d connections with a pipeline of %d are %d; the limit is %d",
			o.Connections, o.Pipeline, o.Connections*o.Pipeline, maxInFlight)
	case o.Duration <= 0 || o.Duration > MaxDuration:
		return fmt.Errorf("invalid duration %v: expected above 0 and at most %v", o.Duration, MaxDuration)
	case o.Warmup < 0 || o.Warmup > MaxDuration:
		return fmt.Errorf("invalid warm-up %v: expected from 0 to %v", o.Warmup, MaxDuration)
	case o.Timeout < 0:
		return fmt.Errorf("negative timeout %v", o.Timeout)
	case o.IAMAT < 0 || o.WHATSAT < 0:
		return errors.New("negative share in the mix")
	case o.Clients < 1 || o.Clients > MaxClients:
		return fmt.Errorf("invalid number of client ids %d: expected from 1 to 10,000,000", o.Clients)
	case o.Zipf != 0 && !(o.Zipf > 1 && o.Zipf <= MaxZipf):
		return fmt.Errorf("invalid Zipf skew %g: expected above 1 and at most %d", o.Zipf, MaxZipf)
	case o.RadiusKM < 0 || o.RadiusKM > protocol.MaxRadiusKM || o.Bound < 0 || o.Bound > protocol.MaxBound:
		return fmt.Errorf("invalid radius or bound of WHATSATs: expected from 0 to %d km and from 0 to %d",
			protocol.MaxRadiusKM, protocol.MaxBound)
	case o.Redis && (o.WHATSAT > 0 || o.SlowReaders > 0 || o.Churn > 0):
		return errors.New("only IAMATs are supported for Redis servers, and neither slow readers nor churn")
	case o.WHATSAT > 0 && o.Clients > 1_000_000:
		return errors.New("too many client ids for a mix with WHATSATs: at most 1,000,000 are preloaded")
	}
	return nil
}
