package herd

import (
	"time"

	"serverherd/herd/config"
	"serverherd/places"
)

// Status is what one server knows of itself and its links, as a value: made on the loop, read
// anywhere. Its JSON names are stable. Durations are in seconds, sizes in
// bytes, times in RFC 3339.
type Status struct {
	Herd    string    `json:"herd"`
	Server  string    `json:"server"`
	Address string    `json:"address"` // what the listener is bound to
	Version string    `json:"version"`
	Engine  string    `json:"engine"`
	Epoch   string    `json:"epoch"` // this process, in links
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	// Ready: it listens, holds all records of the herd that it was offered, and the records of every
	// neighbor have come or the neighbor is down. Waiting says what is missing.
	Ready   bool   `json:"ready"`
	Waiting string `json:"waiting,omitempty"`

	Records uint64 `json:"records"` // clients with a stored record
	Digest  string `json:"digest"`  // 16 hex digits, or "full"
	Tail    uint64 `json:"tail"`    // last position of the feed

	Connections int               `json:"connections"` // all, neighbors included
	Buffered    int               `json:"buffered"`    // kept for clients, see max_buffered; a second old at most
	Lookups     LookupStatus      `json:"lookups"`
	Loop        LoopStatus        `json:"loop"`
	Links       []LinkStatus      `json:"links"` // in the order of herd.toml
	Propagation PropagationStatus `json:"propagation"`
	Journal     *JournalStatus    `json:"journal,omitempty"` // if records are kept on a disk
	// Places is about the provider. Whoever made it fills it in.
	Places *places.Report `json:"places,omitempty"`
	// Log is about the log file. Whoever writes it fills it in.
	Log      LogStatus     `json:"log"`
	Counters Counters      `json:"counters"`
	Limits   config.Limits `json:"limits"` // as in force; herd config prints those that are not keys
}

// LoopStatus is how promptly the event loop has run since the process started. Whoever runs the
// loop fills it in.
type LoopStatus struct {
	Turns   uint64     `json:"turns"`
	LagP99  float64    `json:"lag_p99"` // a bound on what 99 % of posted calls waited
	Lags    [32]uint64 `json:"lags"`    // posted calls that waited below 1, 2, 4, ... microseconds
	Slowest float64    `json:"slowest"` // the longest single event or call
	// SlowTurns are the events, calls and waits of posted calls that took slow_turn or longer.
	SlowTurns uint64 `json:"slow_turns"`
	// InputWaits are the chunks of input that waited because others had used up turn_share.
	InputWaits uint64 `json:"input_waits"`
}

// LookupStatus is how many WHATSATs are being answered at the moment.
type LookupStatus struct {
	Open     int `json:"open"`      // WHATSATs without their answer
	InFlight int `json:"in_flight"` // questions at the provider, see places_in_flight
	// Waiting is how many WHATSATs wait for their turn, or for the answer to the question of
	// another, waiting_lookups at most.
	Waiting int `json:"waiting"`
}

// PropagationStatus is how long updates took to come from the server that a client sent them to, as
// far as they came while the link was caught up. On different machines it contains the difference of
// their clocks.
type PropagationStatus struct {
	Count  uint64  `json:"count"`
	Skewed uint64  `json:"skewed"` // that came before they were sent, by the two clocks; not in Count
	P50    float64 `json:"p50"`
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

// JournalStatus is how the disk follows.
type JournalStatus struct {
	OK      bool    `json:"ok"`              // it takes what it is given, in time
	Error   string  `json:"error,omitempty"` // what is wrong with the disk or the directory
	Behind  uint64  `json:"behind"`          // bounds the records that are not on the disk yet
	Late    float64 `json:"late"`            // the age of the oldest of them
	Commits uint64  `json:"commits"`         // since the process started
	Records uint64  `json:"records"`         // in those commits
	// Failures are commits that were tried again.
	Failures uint64 `json:"failures"`
	// Losses are the times that records on the disk were found to be removed, replaced or
	// unreadable, whereupon all records were written again.
	Losses   uint64  `json:"losses"`
	Loaded   uint64  `json:"loaded"`    // records, at the start
	NotTaken uint64  `json:"not_taken"` // records beyond max_clients, then
	LoadTime float64 `json:"load_time"`
}

// LogStatus is the server's log file and how much goes there.
type LogStatus struct {
	File     string `json:"file"`      // absolute
	Lines    bool   `json:"lines"`     // every line in and out is logged
	Written  uint64 `json:"written"`   // bytes, since the process started
	MaxBytes uint64 `json:"max_bytes"` // that it and its rotated files may take; 0: no limit
	// Error is why entries do not go there now: they go to where the file was moved, or are dropped
	// and counted.
	Error string `json:"error,omitempty"`
}

// LinkStatus is one neighbor: the link that this server dials and the one that it accepts.
type LinkStatus struct {
	Neighbor string `json:"neighbor"`
	Address  string `json:"address"`
	// State is of the link to the neighbor: down, dialling, greeting, copying, live; or plain, to
	// one that knows no handshake.
	State string `json:"state"`
	// Since is when State was entered.
	Since time.Time `json:"since"`
	// Error is why the link is down, if it is.
	Error string `json:"error,omitempty"`
	// Sent and Acknowledged are positions in this server's feed.
	Sent         uint64 `json:"sent"`
	Acknowledged uint64 `json:"acknowledged"`
	// Behind bounds the records that the neighbor still lacks of this server's feed; of a plain
	// one nobody knows, and it is what has not been written.
	Behind uint64 `json:"behind"`
	// Unacknowledged is bytes of AT lines sent and not acknowledged; to a plain neighbor, those
	// that the kernel has not taken.
	Unacknowledged int `json:"unacknowledged_bytes"`

	// Receiving says whether the neighbor has proven itself on a link to this server, or whether
	// plain AT lines come from it.
	Receiving bool `json:"receiving"`
	// Heard is the last position of the neighbor's feed that this server has acknowledged.
	Heard uint64 `json:"heard"`
	// Duplicate is not empty while two processes claim the neighbor's name, and for 30 s after the
	// last sign of it. "refused": the one that is not linked was cut off or refused. "taken back":
	// the one that is linked had been replaced by another, which has gone or is not at Address; it
	// sends everything again.
	// DuplicateSince is when the first sign came. (A process that is refused itself, because another
	// has its name, is told so in Error.)
	Duplicate      string     `json:"duplicate,omitempty"`
	DuplicateSince *time.Time `json:"duplicate_since,omitempty"`
	// Agreement is "unknown": not measured, or longer than ComparisonAge ago; "in sync"; "diverged"; or
	// "full": the neighbor or this server lacks records for max_clients, so that nobody compares. Checked
	// is when it was last measured and
	// DivergedSince when a difference began.
	Agreement     string     `json:"agreement"`
	Checked       *time.Time `json:"checked,omitempty"`
	DivergedSince *time.Time `json:"diverged_since,omitempty"`

	// Clock is absent while the neighbor's is unknown: for the first seconds, and of older versions.
	Clock *ClockStatus `json:"clock,omitempty"`

	// ATSent is AT lines written to the neighbor. Whether one without a handshake reads them, nobody
	// knows: one that reads to the end of a connection does with legacy = "close-after-write" only.
	ATSent     uint64 `json:"at_sent"`
	ATReceived uint64 `json:"at_received"` // AT lines read on the link from it
	Duplicates uint64 `json:"duplicates"`  // of those read, how many were known already
	BadLines   uint64 `json:"bad_lines"`   // of all read, how many broke the grammar
	Copies     uint64 `json:"copies"`      // full copies begun
	Resumes    uint64 `json:"resumes"`     // resumes begun
	Repairs    uint64 `json:"repairs"`     // copies asked for because of a divergence
	// Stalls are the times that more could not be sent before the neighbor had acknowledged, or if
	// it is plain read, what it had been sent.
	Stalls      uint64 `json:"stalls"`
	DialsFailed uint64 `json:"dials_failed"`
	TakenBack   uint64 `json:"taken_back"` // former processes that were taken back
}

// ComparisonAge is how old a comparison with a neighbor may be to say anything: servers that can compare
// do so every 5 s.
const ComparisonAge = 30 * time.Second

// ClockStatus compares a neighbor's clock with this server's, by the PINGs of the last minute. Unless a
// clock was set in it, the difference is Ahead at least minus and at most plus Uncertainty.
type ClockStatus struct {
	Ahead       float64 `json:"ahead"` // negative: the neighbor's is behind
	Uncertainty float64 `json:"uncertainty"`
	Wrong       bool    `json:"wrong"` // they differ by more than half of max_future
}

// Counters count events since the process started. They only grow.
type Counters struct {
	LinesReceived uint64 `json:"lines_received"` // from clients, plain AT lines among them
	Replies       uint64 `json:"replies"`
	IAMAT         uint64 `json:"iamat"`   // well-formed
	WHATSAT       uint64 `json:"whatsat"` // well-formed
	Stored        uint64 `json:"stored"`  // IAMATs that were new
	Applied       uint64 `json:"applied"` // records from neighbors that were new
	// Foreign are records from neighbors that were new, or from the journal, of servers that
	// herd.toml does not name: of one that has left, or that this server has not been told of.
	Foreign       uint64 `json:"foreign"`
	Refused       uint64 `json:"refused"` // replies that begin with "? " or "> " and a reason
	LookupsFailed uint64 `json:"lookups_failed"`
	LookupsWaited uint64 `json:"lookups_waited"` // for their turn, see places_in_flight
	LookupsBusy   uint64 `json:"lookups_busy"`   // refused, because too many waited
	// LookupsDisplaced are those of LookupsBusy that had a place and lost it to another who had
	// fewer.
	LookupsDisplaced uint64 `json:"lookups_displaced"`
	// LookupsExpired are those whose turn did not come within places.timeout. They are answered from the
	// fallback if there is one, else they are part of LookupsFailed.
	LookupsExpired uint64 `json:"lookups_expired"`
	LookupsShared  uint64 `json:"lookups_shared"` // given the answer to another's question
	// LookupsCancelled are questions under way whose askers had all gone.
	LookupsCancelled uint64 `json:"lookups_cancelled"`
	ClientsRefused   uint64 `json:"clients_refused"` // IAMATs or ATs beyond max_clients

	Accepted         uint64 `json:"accepted"`          // connections
	AcceptFailures   uint64 `json:"accept_failures"`   // for want of descriptors or memory
	ServerFull       uint64 `json:"server_full"`       // connections refused beyond max_connections
	LinesTooLong     uint64 `json:"lines_too_long"`    // connections closed for it
	OtherProtocols   uint64 `json:"other_protocols"`   // connections closed for it: HTTP, TLS, SSH, UTF-16
	IdleTimeouts     uint64 `json:"idle_timeouts"`     // connections closed for it
	PartialTimeouts  uint64 `json:"partial_timeouts"`  // connections closed for it
	UnfinishedLines  uint64 `json:"unfinished_lines"`  // executed for unfinished_line, and the connection closed
	OutputLimits     uint64 `json:"output_limits"`     // clients cut off for output_hard or output_soft
	StallLimits      uint64 `json:"stall_limits"`      // clients cut off that took nothing for stall_time
	MemoryLimits     uint64 `json:"memory_limits"`     // clients cut off for max_buffered
	InputLimits      uint64 `json:"input_limits"`      // connections whose held input made no progress
	Held             uint64 `json:"held"`              // times that a client's further lines were held
	LingerLimits     uint64 `json:"linger_limits"`     // clients that left unread what was owed
	HandshakesFailed uint64 `json:"handshakes_failed"` // that this server refused, or gave up as acceptor
	LinksSilent      uint64 `json:"links_silent"`      // links dropped, either side: nothing came
	LinksUnread      uint64 `json:"links_unread"`      // likewise: the neighbor did not read
	LinksGarbled     uint64 `json:"links_garbled"`     // likewise: too many bad lines, or one too long
	LinksReplaced    uint64 `json:"links_replaced"`    // likewise: another connection of the neighbor is current
	LinksUnanswered  uint64 `json:"links_unanswered"`  // handshakes not finished in time, either side
	LogDropped       uint64 `json:"log_dropped"`       // log entries
	LogReopened      uint64 `json:"log_reopened"`      // times that the log file was moved, deleted or replaced
	// LinksUnacknowledged are links dropped whose neighbor answered and acknowledged nothing.
	LinksUnacknowledged uint64 `json:"links_unacknowledged"`
}

// LineLog takes the text of every line in and out, as the paper asks, apart from the other
// entries because there are so many. The server calls it on the loop; it must not block and must
// copy what it keeps. What is sent on a link is logged line by line, a WHATSAT reply to a client
// by LookupSent.
type LineLog interface {
	LineReceived(conn uint64, line []byte)
	LineSent(conn uint64, line []byte)
	// LookupSent is a WHATSAT reply: its AT line, the status and number of results, and the
	// bytes of the whole; reply is the whole, for level debug.
	LookupSent(conn uint64, at []byte, status string, results int, reply []byte)
}
