package herd

import (
	"slices"
	"strings"
	"time"

	"serverherd/herd/config"
	"serverherd/places"
	"serverherd/reactor"
)

// Status is the state of one server and its links, as a value: made on the loop, read anywhere. Its JSON
// names are stable. Durations are in seconds, sizes in bytes, times in RFC 3339.
type Status struct {
	Herd    string `json:"herd"`
	Server  string `json:"server"`
	Address string `json:"address"` // that the listener is bound to
	Version string `json:"version"`
	Commit  string `json:"commit"` // that the program was built from; "" if it does not know
	Go      string `json:"go"`     // version of Go
	Engine  string `json:"engine"`
	Epoch   string `json:"epoch"` // identifies this process to neighbors
	// ConfigHash is equal on all servers whose herd.toml says the same about the herd, see config.Fingerprint.
	ConfigHash string    `json:"config_hash"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	Now        time.Time `json:"now"`
	// Ready: the server listens, holds all records of the herd that it received, and the records of every
	// neighbor have arrived or the neighbor is down. Of a server with a bridge that started without records those in the
	// bucket have arrived, too, or 10 seconds have passed, or a neighbor had records. Waiting says what is missing.
	Ready   bool   `json:"ready"`
	Waiting string `json:"waiting,omitempty"`

	Records uint64 `json:"records"` // clients with a stored record
	Digest  string `json:"digest"`  // 16 hex digits, or "full"
	Tail    uint64 `json:"tail"`    // last position of the feed

	// OpenBeyondLoopback is what everyone may use who reaches it from another machine, without a token: "clients",
	// "console". The caller of Server.Status fills it in.
	OpenBeyondLoopback []string `json:"open_beyond_loopback,omitempty"`

	Tokens *TokensStatus `json:"tokens,omitempty"` // if there are any, or clients need one

	// TLS is about certificates, and nil without. The caller of Server.Status fills it in.
	TLS *TLSStatus `json:"tls,omitempty"`

	Connections int               `json:"connections"` // of clients and neighbors
	Buffered    int               `json:"buffered"`    // memory used for clients, see max_buffered; at most a second old
	Lookups     LookupStatus      `json:"lookups"`
	Loop        LoopStatus        `json:"loop"`
	Links       []LinkStatus      `json:"links"` // in the order of herd.toml
	Propagation PropagationStatus `json:"propagation"`
	Journal     *JournalStatus    `json:"journal,omitempty"` // if records are kept on a disk
	Bridge      *BridgeStatus     `json:"bridge,omitempty"`  // if it has a bridge to a Bucket
	Asks        *AskStatus        `json:"asks,omitempty"`    // if WHATSATs ask the bucket of other herds
	// Console is about requests to the console. The caller of Server.Status fills it in.
	Console *ConsoleStatus `json:"console,omitempty"` // if it has one
	// Places is about the provider. The caller of Server.Status fills it in.
	Places *places.Report `json:"places,omitempty"`
	// Log is about the log file. The caller of Server.Status fills it in.
	Log LogStatus `json:"log"`
	// Process is about the process. The caller of Server.Status fills it in.
	Process  ProcessStatus `json:"process"`
	Counters Counters      `json:"counters"`
	Limits   config.Limits `json:"limits"` // in force; herd config prints those that are not keys
}

// TLSStatus is about TLS and the server's certificate.
type TLSStatus struct {
	Links   string    `json:"links"` // off, optional or required, as the next two
	Clients string    `json:"clients"`
	Console string    `json:"console"`
	Expires time.Time `json:"expires"`         // of the certificate
	Error   string    `json:"error,omitempty"` // why a later version of the files is not in force
}

// LoopStatus is the latency of the event loop since the process started. The caller of Server.Status fills it
// in.
type LoopStatus struct {
	Turns   uint64     `json:"turns"`
	LagP99  float64    `json:"lag_p99"` // upper bound on the wait of 99 % of posted calls
	Lags    [32]uint64 `json:"lags"`    // posted calls by wait: below 1, 2, 4, ... microseconds
	LagSum  float64    `json:"lag_sum"` // of these waits
	Work    Histogram  `json:"work"`    // single events and calls, without the writes at the end of a turn
	Slowest float64    `json:"slowest"` // the longest single event or call
	// SlowTurns counts events, calls and waits of posted calls of at least slow_turn.
	SlowTurns uint64 `json:"slow_turns"`
	// InputWaits counts chunks of input that waited because others had used up turn_share.
	InputWaits uint64 `json:"input_waits"`
}

// NewLoopStatus is the status of a loop with these statistics.
func NewLoopStatus(s reactor.Stats) LoopStatus {
	return LoopStatus{
		Turns: s.Turns, LagP99: s.Lags.Quantile(0.99).Seconds(), Lags: s.Lags.Counts, LagSum: s.Lags.Sum.Seconds(),
		Work: newHistogram(s.Work), Slowest: s.Slowest.Seconds(), SlowTurns: s.SlowTurns, InputWaits: s.InputWaits,
	}
}

// Histogram counts durations: the first of Counts those below 1 microsecond, the second those from there to 2,
// then to 4, 8, ... microseconds. The last one has no upper limit. Sum is the sum of all durations.
type Histogram struct {
	Counts [32]uint64 `json:"counts"`
	Sum    float64    `json:"sum"`
}

func newHistogram(h reactor.Histogram) Histogram { return Histogram{h.Counts, h.Sum.Seconds()} }

// LookupStatus is how many WHATSATs are in progress, and how long those took that have a reply.
type LookupStatus struct {
	Open     int `json:"open"`      // WHATSATs without a reply
	InFlight int `json:"in_flight"` // requests to the provider, see places_in_flight
	// Waiting is how many WHATSATs wait for the bucket, for their turn, or for the answer to another one with
	// the same question; at most waiting_lookups.
	Waiting int `json:"waiting"`
	// Answered, Failed and Busy are how long WHATSATs took from the request to the reply: with places, because
	// the provider gave none, and with BUSY. A WHATSAT whose client is gone is in none of them.
	Answered Histogram `json:"answered"`
	Failed   Histogram `json:"failed"`
	Busy     Histogram `json:"busy"`
}

// PropagationStatus is how long updates took from the server that received them to this one, while the link
// was caught up. Between different machines it includes the difference of their clocks. Records that a neighbor has
// got back from a bucket count with their age, see BridgeStatus.Restored; those of servers that are not in herd.toml do
// not count.
type PropagationStatus struct {
	Count  uint64  `json:"count"`
	Skewed uint64  `json:"skewed"` // received before they were sent, by the two clocks; not in Count
	P50    float64 `json:"p50"`
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
	// Delays is what P50, P90 and P99 are of, in coarser steps.
	Delays Histogram `json:"delays"`
}

// JournalStatus is the state of the journal.
type JournalStatus struct {
	OK      bool    `json:"ok"`              // it writes what it is given in time
	Error   string  `json:"error,omitempty"` // what is wrong with the disk or the directory
	Behind  uint64  `json:"behind"`          // upper bound on the number of unwritten records
	Late    float64 `json:"late"`            // age of the oldest unwritten record
	Commits uint64  `json:"commits"`         // since the process started
	Records uint64  `json:"records"`         // in those commits
	// Failures are commits that failed and were retried.
	Failures uint64 `json:"failures"`
	// Losses is how often records on the disk were found to be removed, replaced or unreadable. All records
	// are written again then.
	Losses   uint64  `json:"losses"`
	Loaded   uint64  `json:"loaded"`    // records, at the start
	NotTaken uint64  `json:"not_taken"` // records beyond max_clients, at the start
	LoadTime float64 `json:"load_time"`
}

// ConsoleStatus is about who uses the console. Each refused request is in one of the counters, but for those that were
// refused because there were too many at once.
type ConsoleStatus struct {
	// Denied are requests whose token or login was missing, wrong or not enough, and those with a foreign Host or Origin.
	Denied            uint64 `json:"denied"`
	LoginsRefused     uint64 `json:"logins_refused"`
	SignaturesRefused uint64 `json:"signatures_refused"` // of other consoles and of commands
	Sessions          int    `json:"sessions"`           // logins
}

// TokensStatus is about the tokens of clients and of whoever uses the console.
type TokensStatus struct {
	Count   int `json:"count"`
	Expired int `json:"expired"` // of Count
	// Connections are those of clients that have shown a token.
	Connections int `json:"connections"`
	// Loaded is when the file was read that is in force, and Error why a later version of it is not. The caller of
	// Server.Status fills them in.
	Loaded time.Time `json:"loaded"`
	Error  string    `json:"error,omitempty"`
}

// LogStatus is the state of the server's log file.
type LogStatus struct {
	File            string `json:"file"`             // absolute
	Lines           bool   `json:"lines"`            // every line in and out is logged
	Level           string `json:"level"`            // in force: debug, info, warn or error
	ConfiguredLevel string `json:"configured_level"` // of herd.toml, at the start
	Written         uint64 `json:"written"`          // bytes, since the process started
	MaxBytes        uint64 `json:"max_bytes"`        // maximum size of it and its rotated files; 0: no limit
	// Error is why entries cannot be written there now. They go to where the file was moved, or are dropped
	// and counted.
	Error string `json:"error,omitempty"`
}

// ProcessStatus is what the server's process uses. A field is zero if the system does not report it.
type ProcessStatus struct {
	CPU      float64 `json:"cpu_seconds"` // processor time since the process started, user and system
	Resident uint64  `json:"resident_bytes"`
	OpenFDs  int     `json:"open_fds"` // open file descriptors
	MaxFDs   int     `json:"max_fds"`  // limit of these
}

// LinkStatus is the state of one neighbor: of the link that this server dials and of the one that it accepts.
type LinkStatus struct {
	Neighbor string `json:"neighbor"`
	Address  string `json:"address"`
	// State is the state of the link to the neighbor: down, dialling, greeting, copying, live; or plain, to a
	// legacy neighbor.
	State string `json:"state"`
	// Since is when State was entered.
	Since time.Time `json:"since"`
	// Error is why the link is down, if it is.
	Error string `json:"error,omitempty"`
	// Sent and Acknowledged are positions in this server's feed.
	Sent         uint64 `json:"sent"`
	Acknowledged uint64 `json:"acknowledged"`
	// Behind is an upper bound on the records that the neighbor lacks of this server's feed. For a legacy
	// neighbor, which does not acknowledge, it is what has not been written.
	Behind uint64 `json:"behind"`
	// Unacknowledged is bytes of AT lines sent and not acknowledged; for a legacy neighbor, bytes that the
	// kernel has not taken.
	Unacknowledged int `json:"unacknowledged_bytes"`

	// Receiving reports whether the neighbor has completed a handshake on a link to this server, or AT lines
	// of a legacy neighbor have come.
	Receiving bool `json:"receiving"`
	// TLS reports whether the link to the neighbor is, or was last, over TLS.
	TLS bool `json:"tls"`
	// Heard is the last position of the neighbor's feed that this server has acknowledged.
	Heard uint64 `json:"heard"`
	// Duplicate is not empty while two processes use the neighbor's name, and for 30 s after the last sign of
	// it. "refused": the process that is not linked was refused or disconnected. "taken back": the one that
	// is linked had been replaced by another, which is gone or is not at Address; it sends everything again.
	// DuplicateSince is when the first sign came. (A process that is refused itself, as a duplicate, has that
	// in Error.)
	Duplicate      string     `json:"duplicate,omitempty"`
	DuplicateSince *time.Time `json:"duplicate_since,omitempty"`
	// Agreement is "unknown": never compared, or longer than ComparisonAge ago; "in sync"; "diverged"; or
	// "full": the neighbor or this server lacks records because of max_clients, so the states are not
	// compared. Checked is when they were last compared, and DivergedSince when a difference began.
	Agreement     string     `json:"agreement"`
	Checked       *time.Time `json:"checked,omitempty"`
	DivergedSince *time.Time `json:"diverged_since,omitempty"`

	// Clock is absent while the neighbor's clock is unknown: for the first seconds, and if its version is
	// older.
	Clock *ClockStatus `json:"clock,omitempty"`

	// ATSent is AT lines written to the neighbor. It is unknown whether a legacy neighbor reads them: one
	// that reads a connection to its end does so only with legacy = "close-after-write".
	ATSent     uint64 `json:"at_sent"`
	ATReceived uint64 `json:"at_received"` // AT lines received on its links
	Duplicates uint64 `json:"duplicates"`  // of those received, how many were already known
	BadLines   uint64 `json:"bad_lines"`   // of all lines received, how many were invalid
	Copies     uint64 `json:"copies"`      // full copies started
	Resumes    uint64 `json:"resumes"`     // resumes started
	Repairs    uint64 `json:"repairs"`     // full copies requested because of a divergence
	// Stalls is how often sending stopped because of a full window or, for a legacy neighbor, a full output
	// buffer.
	Stalls uint64 `json:"stalls"`
	// Checks counts comparisons with the neighbor's records, whatever the result; see Agreement.
	Checks      uint64 `json:"checks"`
	DialsFailed uint64 `json:"dials_failed"`
	TakenBack   uint64 `json:"taken_back"` // former processes that were accepted again
}

// The values of LinkStatus.State.
const (
	LinkDown     = "down"
	LinkDialing  = "dialling"
	LinkGreeting = "greeting"
	LinkCopying  = "copying"
	LinkLive     = "live"
	LinkLegacy   = "plain" // to a legacy neighbor
)

// linkStates has the values of LinkStatus.State, by linkState.
var linkStates = [...]string{LinkDown, LinkDialing, LinkGreeting, LinkCopying, LinkLive, LinkLegacy}

// LinkStates returns the values of LinkStatus.State.
func LinkStates() []string { return slices.Clone(linkStates[:]) }

// Link returns the link to a neighbor; nil if there is none, or if s is nil.
func (s *Status) Link(neighbor string) *LinkStatus {
	if s == nil {
		return nil
	}
	return linkTo(s.Links, neighbor)
}

// Link returns the link to a neighbor; nil if there is none.
func (f *Flood) Link(neighbor string) *LinkStatus { return linkTo(f.Links, neighbor) }

func linkTo(links []LinkStatus, neighbor string) *LinkStatus {
	for i := range links {
		if links[i].Neighbor == neighbor {
			return &links[i]
		}
	}
	return nil
}

// Reason returns Error as people read it: of an error of the network only its cause, without the addresses.
func (l *LinkStatus) Reason() string {
	for _, operation := range []string{"dial", "read", "write"} {
		if rest, ok := strings.CutPrefix(l.Error, operation+" tcp"); ok {
			_, cause, _ := strings.Cut(rest, ": ")
			for _, call := range []string{"connect: ", "read: ", "write: "} {
				cause = strings.TrimPrefix(cause, call)
			}
			if cause != "" {
				return cause
			}
		}
	}
	return l.Error
}

// ComparisonAge is for how long a comparison with a neighbor is valid. Servers that can compare do so every 5
// s.
const ComparisonAge = 30 * time.Second

// ClockStatus compares a neighbor's clock with this server's, by the PINGs of the last minute. Unless a clock
// was set within that minute, the difference is Ahead, plus or minus Uncertainty.
type ClockStatus struct {
	Ahead       float64 `json:"ahead"` // negative: the neighbor's clock is behind
	Uncertainty float64 `json:"uncertainty"`
	Wrong       bool    `json:"wrong"` // they differ by more than half of max_future
}

// Counters count events since the process started. They only grow.
type Counters struct {
	LinesReceived uint64 `json:"lines_received"` // from clients, AT lines of legacy neighbors among them
	Replies       uint64 `json:"replies"`
	IAMAT         uint64 `json:"iamat"`   // well-formed
	WHATSAT       uint64 `json:"whatsat"` // well-formed
	Stored        uint64 `json:"stored"`  // IAMATs that were new
	Applied       uint64 `json:"applied"` // records from neighbors that were new
	// Foreign counts new records, from neighbors or the journal, whose origin is not in this server's
	// herd.toml: it was removed, or has not been added here yet.
	Foreign       uint64 `json:"foreign"`
	Refused       uint64 `json:"refused"` // replies that begin with "? " or "> " and a reason
	LookupsFailed uint64 `json:"lookups_failed"`
	LookupsWaited uint64 `json:"lookups_waited"` // queued for their turn, see places_in_flight
	LookupsBusy   uint64 `json:"lookups_busy"`   // refused with BUSY, because too many waited
	// LookupsDisplaced are those of LookupsBusy that were queued, and lost their place to a client with
	// fewer.
	LookupsDisplaced uint64 `json:"lookups_displaced"`
	// LookupsExpired are those whose turn did not come within places.timeout. They are answered from the
	// fallback if there is one; otherwise they are part of LookupsFailed.
	LookupsExpired uint64 `json:"lookups_expired"`
	LookupsShared  uint64 `json:"lookups_shared"` // answered with the result of another one's request
	// LookupsCancelled are requests that were canceled because all their clients were gone.
	LookupsCancelled uint64 `json:"lookups_cancelled"`
	ClientsRefused   uint64 `json:"clients_refused"` // IAMATs or ATs beyond max_clients

	Accepted         uint64 `json:"accepted"`          // connections
	AcceptFailures   uint64 `json:"accept_failures"`   // out of file descriptors or memory
	ServerFull       uint64 `json:"server_full"`       // connections refused beyond max_connections
	LinesTooLong     uint64 `json:"lines_too_long"`    // connections closed for it
	OtherProtocols   uint64 `json:"other_protocols"`   // connections closed for it: HTTP, TLS, SSH, UTF-16
	IdleTimeouts     uint64 `json:"idle_timeouts"`     // connections closed for it
	PartialTimeouts  uint64 `json:"partial_timeouts"`  // connections closed for it
	UnfinishedLines  uint64 `json:"unfinished_lines"`  // executed after unfinished_line, and the connection closed
	OutputLimits     uint64 `json:"output_limits"`     // clients cut off for output_hard or output_soft
	StallLimits      uint64 `json:"stall_limits"`      // clients cut off that read nothing for stall_time
	MemoryLimits     uint64 `json:"memory_limits"`     // clients cut off for max_buffered
	InputLimits      uint64 `json:"input_limits"`      // connections whose held input made no progress
	Held             uint64 `json:"held"`              // times that a client's further lines were held
	LingerLimits     uint64 `json:"linger_limits"`     // clients that did not read the last replies before the close
	TLSFailed        uint64 `json:"tls_failed"`        // TLS handshakes, of accepted connections and of dials to neighbors
	TLSMissing       uint64 `json:"tls_missing"`       // clients refused without TLS, where it is required
	ProxyRefused     uint64 `json:"proxy_refused"`     // clients refused that came from a proxy without its header
	HandshakesFailed uint64 `json:"handshakes_failed"` // refused by this server, or timed out as acceptor
	LinksSilent      uint64 `json:"links_silent"`      // links dropped, either side: nothing came
	LinksUnread      uint64 `json:"links_unread"`      // likewise: the neighbor did not read
	LinksGarbled     uint64 `json:"links_garbled"`     // likewise: too many bad lines, or one too long
	LinksReplaced    uint64 `json:"links_replaced"`    // likewise: another connection of the neighbor is current
	LinksUnanswered  uint64 `json:"links_unanswered"`  // handshake timeouts, either side
	LogDropped       uint64 `json:"log_dropped"`       // log entries
	LogReopened      uint64 `json:"log_reopened"`      // times that the log file was moved, deleted or replaced
	// TokensRefused are connections closed for an unknown or expired token, and TokensLate those that had shown none in
	// token_timeout. TokensRevoked were closed because their token was removed or has expired.
	TokensRefused uint64 `json:"tokens_refused"`
	TokensLate    uint64 `json:"tokens_late"`
	TokensRevoked uint64 `json:"tokens_revoked"`
	TokensMissing uint64 `json:"tokens_missing"` // lines refused because no token was shown
	RightsRefused uint64 `json:"rights_refused"` // lines refused because the token does not allow them
	// The limits of one address, one token or one client id: LimitConnections are connections closed for them, the others
	// lines refused, with a reply that begins with LIMIT.
	LimitConnections uint64 `json:"limit_connections"`
	LimitLines       uint64 `json:"limit_lines"`
	LimitUpdates     uint64 `json:"limit_updates"`
	LimitWhatsats    uint64 `json:"limit_whatsats"`
	// LinksUnacknowledged counts links dropped because the neighbor answered PINGs and did not acknowledge.
	LinksUnacknowledged uint64 `json:"links_unacknowledged"`
}

// LineLog logs every line in and out, as the paper requires. It is separate from the other log entries
// because there are so many lines. The server calls it on the loop, so it must not block; it must copy what
// it keeps. Output on a link is logged line by line, a WHATSAT reply to a client with LookupSent.
type LineLog interface {
	LineReceived(conn uint64, line []byte)
	LineSent(conn uint64, line []byte)
	// LookupSent logs a WHATSAT reply: its AT line, the status, the number of results and the reply itself,
	// which is logged at level debug only.
	LookupSent(conn uint64, at []byte, status string, results int, reply []byte)
}
