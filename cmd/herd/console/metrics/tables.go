package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"serverherd/herd"
	"serverherd/places"
)

// Names are stable.

var (
	buildInfo = describe("herd_build_info", "Always 1. The program and its event loop.",
		"version", "engine", "goversion", "commit")
	serverInfo = describe("herd_server_info",
		"Always 1. The names of the herd and of this server, and what all servers' herd.toml must say alike.",
		"herd", "server_name", "config_hash")
)

// The buckets of a histogram grow by the factor 2.
var (
	loopLag = histogram{describe("herd_loop_lag_seconds",
		"How long calls that other goroutines posted waited for the event loop."), 0, 23}
	loopWork = histogram{describe("herd_loop_work_seconds",
		"How long single events and calls kept the event loop. The writes at the end of a turn are not included."), 0, 20}
	propagation = histogram{describe("herd_propagation_seconds",
		"How long updates took from the server that received them to this one, by the clocks of both."), 6, 26}
	lookups = histogram{describe("herd_lookup_duration_seconds",
		"How long WHATSATs took from the request to the reply.", "outcome"), 5, 25}
)

var (
	linkState = states{describe("herd_link_state",
		"1 for the state of the link to a neighbor, 0 for the other states.", "neighbor", "state"), herd.LinkStates()}
	linkAgreement = states{describe("herd_link_agreement",
		"1 for the outcome of the last comparison with a neighbor's records, 0 for the others.", "neighbor", "agreement"), herd.Agreements}
	placesBreaker = states{describe("herd_places_breaker",
		"1 for the state of the circuit breakers of the places provider, 0 for the other states.", "state"), places.BreakerStates}
	bridgeState = states{describe("herd_bridge_state", "1 for the state of the bridge, 0 for the other states.", "state"),
		herd.BridgeStates}
)

type status = herd.Status

var server = table[status]{prefix: "herd_"}

var ofServer = numbers[status]{
	server.flag("ready", "1 if the server listens and the records of its neighbors have come.",
		func(s *status) bool { return s.Ready }),
	server.gauge("records", "Clients with a stored record.", func(s *status) float64 { return float64(s.Records) }),
	server.gauge("records_limit", "The limit max_clients.", func(s *status) float64 { return float64(s.Limits.MaxClients) }),
	server.flag("full", "1 if this server lacks records because of max_clients.",
		func(s *status) bool { return s.Digest == "full" }),
	server.gauge("feed_position", "Last position of this server's feed.", func(s *status) float64 { return float64(s.Tail) }),
	server.gauge("connections", "Connections of clients and neighbors.",
		func(s *status) float64 { return float64(s.Connections) }),
	server.gauge("connections_limit", "The limit max_connections.",
		func(s *status) float64 { return float64(s.Limits.MaxConnections) }),
	server.gauge("buffered_bytes", "Memory used for clients' input and output.",
		func(s *status) float64 { return float64(s.Buffered) }),
	server.gauge("buffered_limit_bytes", "The limit max_buffered.",
		func(s *status) float64 { return float64(s.Limits.MaxBuffered) }),
	server.gauge("lookups_open", "WHATSATs without a reply.", func(s *status) float64 { return float64(s.Lookups.Open) }),
	server.gauge("lookups_in_flight", "Requests to the places provider in progress.",
		func(s *status) float64 { return float64(s.Lookups.InFlight) }),
	server.gauge("lookups_waiting", "WHATSATs that wait for their turn, or for the answer to the same question.",
		func(s *status) float64 { return float64(s.Lookups.Waiting) }),
	server.flag("open_beyond_loopback", "1 if clients or users of the console on other machines need no token.",
		func(s *status) bool { return len(s.OpenBeyondLoopback) > 0 }),
	server.counter("loop_turns", "Turns of the event loop.", func(s *status) uint64 { return s.Loop.Turns }),
	server.counter("loop_slow_turns", "Events, calls and waits of posted calls of at least slow_turn.",
		func(s *status) uint64 { return s.Loop.SlowTurns }),
	server.counter("loop_input_waits", "Chunks of input that waited because others had used up turn_share.",
		func(s *status) uint64 { return s.Loop.InputWaits }),
	server.gauge("loop_slowest_seconds", "The longest single event or call since the start.",
		func(s *status) float64 { return s.Loop.Slowest }),
	server.counter("propagation_skewed", "Updates received before they were sent, by the clocks of both servers.",
		func(s *status) uint64 { return s.Propagation.Skewed }),
	server.flag("log_ok", "1 if entries can be written to the log file.", func(s *status) bool { return s.Log.Error == "" }),
	server.counter("log_written_bytes", "Bytes written to the log file.", func(s *status) uint64 { return s.Log.Written }),
	server.gauge("log_limit_bytes", "Maximum size of the log file and its rotated files, 0 if there is none.",
		func(s *status) float64 { return float64(s.Log.MaxBytes) }),
}

// process has the names that all programs use.
var process = table[status]{prefix: "process_"}

var ofProcess = numbers[status]{
	{describe("process_cpu_seconds_total", "Processor time since the start, user and system."), prometheus.CounterValue,
		func(s *status) float64 { return s.Process.CPU }},
	process.gauge("resident_memory_bytes", "Resident memory.", func(s *status) float64 { return float64(s.Process.Resident) }),
	process.gauge("open_fds", "Open file descriptors.", func(s *status) float64 { return float64(s.Process.OpenFDs) }),
	process.gauge("max_fds", "Limit of open file descriptors.", func(s *status) float64 { return float64(s.Process.MaxFDs) }),
	process.gauge("start_time_seconds", "When the server started.", func(s *status) float64 { return unix(&s.Started) }),
}

type counts = herd.Counters

var count = table[counts]{prefix: "herd_"}

var ofCounters = numbers[counts]{
	count.counter("lines_received", "Lines of clients, AT lines of legacy neighbors among them.",
		func(c *counts) uint64 { return c.LinesReceived }),
	count.counter("replies", "Replies to clients.", func(c *counts) uint64 { return c.Replies }),
	count.counter("iamat", "Well-formed IAMATs.", func(c *counts) uint64 { return c.IAMAT }),
	count.counter("whatsat", "Well-formed WHATSATs about clients with a record.", func(c *counts) uint64 { return c.WHATSAT }),
	count.counter("stored", "IAMATs that were new.", func(c *counts) uint64 { return c.Stored }),
	count.counter("applied", "Records from neighbors that were new.", func(c *counts) uint64 { return c.Applied }),
	count.counter("foreign", "New records of servers that herd.toml does not name.",
		func(c *counts) uint64 { return c.Foreign }),
	count.counter("refused", "Replies that begin with ? or > and a reason.", func(c *counts) uint64 { return c.Refused }),
	count.counter("lookups_failed", "WHATSATs without places because the provider gave none.",
		func(c *counts) uint64 { return c.LookupsFailed }),
	count.counter("lookups_waited", "WHATSATs that waited for their turn.",
		func(c *counts) uint64 { return c.LookupsWaited }),
	count.counter("lookups_busy", "WHATSATs refused because too many waited.",
		func(c *counts) uint64 { return c.LookupsBusy }),
	count.counter("lookups_displaced", "Refused WHATSATs that had waited and lost their place.",
		func(c *counts) uint64 { return c.LookupsDisplaced }),
	count.counter("lookups_expired", "WHATSATs whose turn did not come within places.timeout.",
		func(c *counts) uint64 { return c.LookupsExpired }),
	count.counter("lookups_shared", "WHATSATs that shared the request of another one.",
		func(c *counts) uint64 { return c.LookupsShared }),
	count.counter("lookups_cancelled", "Requests to the provider canceled because all clients were gone.",
		func(c *counts) uint64 { return c.LookupsCancelled }),
	count.counter("clients_refused", "Updates beyond max_clients.", func(c *counts) uint64 { return c.ClientsRefused }),
	count.counter("accepted", "Connections accepted.", func(c *counts) uint64 { return c.Accepted }),
	count.counter("accept_failures", "Connections that could not be accepted.",
		func(c *counts) uint64 { return c.AcceptFailures }),
	count.counter("server_full", "Connections refused beyond max_connections.",
		func(c *counts) uint64 { return c.ServerFull }),
	count.counter("lines_too_long", "Connections closed for a line beyond max_line.",
		func(c *counts) uint64 { return c.LinesTooLong }),
	count.counter("other_protocols", "Connections closed for another protocol.",
		func(c *counts) uint64 { return c.OtherProtocols }),
	count.counter("idle_timeouts", "Connections closed for idle_timeout.",
		func(c *counts) uint64 { return c.IdleTimeouts }),
	count.counter("partial_timeouts", "Connections closed for partial_line_timeout.",
		func(c *counts) uint64 { return c.PartialTimeouts }),
	count.counter("unfinished_lines", "Lines executed for unfinished_line.",
		func(c *counts) uint64 { return c.UnfinishedLines }),
	count.counter("output_limits", "Clients disconnected for output_hard or output_soft.",
		func(c *counts) uint64 { return c.OutputLimits }),
	count.counter("stall_limits", "Clients disconnected that read nothing for stall_time.",
		func(c *counts) uint64 { return c.StallLimits }),
	count.counter("memory_limits", "Clients disconnected for max_buffered.",
		func(c *counts) uint64 { return c.MemoryLimits }),
	count.counter("input_limits", "Connections whose held input made no progress.",
		func(c *counts) uint64 { return c.InputLimits }),
	count.counter("held", "Times that further lines of a client were held.", func(c *counts) uint64 { return c.Held }),
	count.counter("linger_limits", "Clients that did not read the last replies before the close.",
		func(c *counts) uint64 { return c.LingerLimits }),
	count.counter("handshakes_failed", "Handshakes refused by this server, or timed out as acceptor.",
		func(c *counts) uint64 { return c.HandshakesFailed }),
	count.counter("links_silent", "Links dropped because nothing came.", func(c *counts) uint64 { return c.LinksSilent }),
	count.counter("links_unread", "Links dropped because the neighbor did not read.",
		func(c *counts) uint64 { return c.LinksUnread }),
	count.counter("links_garbled", "Links dropped for too many bad lines, or one too long.",
		func(c *counts) uint64 { return c.LinksGarbled }),
	count.counter("links_replaced", "Links dropped because another connection of the neighbor is current.",
		func(c *counts) uint64 { return c.LinksReplaced }),
	count.counter("links_unanswered", "Handshake timeouts on links, either side.",
		func(c *counts) uint64 { return c.LinksUnanswered }),
	count.counter("links_unacknowledged", "Links dropped because the neighbor acknowledged nothing.",
		func(c *counts) uint64 { return c.LinksUnacknowledged }),
	count.counter("tls_failed", "TLS handshakes that failed, of accepted connections and of dials to neighbors.",
		func(c *counts) uint64 { return c.TLSFailed }),
	count.counter("tls_missing", "Clients refused without TLS, where it is required.",
		func(c *counts) uint64 { return c.TLSMissing }),
	count.counter("proxy_refused", "Clients refused that came from a proxy without its header.",
		func(c *counts) uint64 { return c.ProxyRefused }),
	count.counter("tokens_refused", "Connections closed for an unknown or expired token.",
		func(c *counts) uint64 { return c.TokensRefused }),
	count.counter("tokens_late", "Connections closed because they had shown no token in token_timeout.",
		func(c *counts) uint64 { return c.TokensLate }),
	count.counter("tokens_revoked", "Connections closed because their token was removed or has expired.",
		func(c *counts) uint64 { return c.TokensRevoked }),
	count.counter("tokens_missing", "Lines refused because no token was shown.",
		func(c *counts) uint64 { return c.TokensMissing }),
	count.counter("rights_refused", "Lines refused because the token does not allow them.",
		func(c *counts) uint64 { return c.RightsRefused }),
	count.counter("limit_connections", "Connections closed for the limit of an address or a token.",
		func(c *counts) uint64 { return c.LimitConnections }),
	count.counter("limit_lines", "Lines refused for the lines a second of an address or a token.",
		func(c *counts) uint64 { return c.LimitLines }),
	count.counter("limit_updates", "Updates refused for updates_per_client.",
		func(c *counts) uint64 { return c.LimitUpdates }),
	count.counter("limit_whatsats", "WHATSATs refused for those a day of an address or a token.",
		func(c *counts) uint64 { return c.LimitWhatsats }),
	count.counter("log_dropped", "Log entries dropped.", func(c *counts) uint64 { return c.LogDropped }),
	count.counter("log_reopened", "Times that the log file was moved, deleted or replaced.",
		func(c *counts) uint64 { return c.LogReopened }),
}

type linkStatus = herd.LinkStatus

var link = table[linkStatus]{"herd_link_", []string{"neighbor"}}

var ofLink = numbers[linkStatus]{
	link.gauge("state_timestamp_seconds", "When the state of the link was entered.",
		func(l *linkStatus) float64 { return unix(&l.Since) }),
	link.gauge("behind_records", "Upper bound on the records that the neighbor lacks of this server's feed.",
		func(l *linkStatus) float64 { return float64(l.Behind) }),
	link.gauge("unacknowledged_bytes", "Bytes of AT lines sent and not acknowledged.",
		func(l *linkStatus) float64 { return float64(l.Unacknowledged) }),
	link.flag("receiving", "1 if the neighbor has completed a handshake on a link to this server.",
		func(l *linkStatus) bool { return l.Receiving }),
	link.flag("duplicate", "1 while two processes use the neighbor's name.",
		func(l *linkStatus) bool { return l.Duplicate != "" }),
	link.gauge("compared_timestamp_seconds", "When the records were last compared with the neighbor's.",
		func(l *linkStatus) float64 { return unix(l.Checked) }),
	link.gauge("diverged_timestamp_seconds", "When the records began to differ from the neighbor's, while they do.",
		func(l *linkStatus) float64 { return unix(l.DivergedSince) }),
	link.counter("at_sent", "AT lines written to the neighbor.", func(l *linkStatus) uint64 { return l.ATSent }),
	link.counter("at_received", "AT lines received from the neighbor.",
		func(l *linkStatus) uint64 { return l.ATReceived }),
	link.counter("duplicates", "AT lines received from the neighbor that were already known.",
		func(l *linkStatus) uint64 { return l.Duplicates }),
	link.flag("tls", "1 if the link to the neighbor is over TLS.", func(l *linkStatus) bool { return l.TLS }),
	link.counter("bad_lines", "Invalid lines received from the neighbor.",
		func(l *linkStatus) uint64 { return l.BadLines }),
	link.counter("copies", "Full copies to the neighbor that were started.",
		func(l *linkStatus) uint64 { return l.Copies }),
	link.counter("resumes", "Resumes that were started.", func(l *linkStatus) uint64 { return l.Resumes }),
	link.counter("repairs", "Full copies requested because of a divergence.",
		func(l *linkStatus) uint64 { return l.Repairs }),
	link.counter("checks", "Times that the records were compared with the neighbor's.",
		func(l *linkStatus) uint64 { return l.Checks }),
	link.counter("stalls", "Times that sending stopped because of a full window or buffer.",
		func(l *linkStatus) uint64 { return l.Stalls }),
	link.counter("dials_failed", "Dials to the neighbor that failed.",
		func(l *linkStatus) uint64 { return l.DialsFailed }),
	link.counter("taken_back", "Former processes of the neighbor that were accepted again.",
		func(l *linkStatus) uint64 { return l.TakenBack }),
}

// unix is a time in seconds, or NaN.
func unix(t *time.Time) float64 {
	if t == nil || t.IsZero() {
		return math.NaN()
	}
	return float64(t.UnixMicro()) / 1e6
}

type clock = herd.ClockStatus

var ofClock = numbers[clock]{
	table[clock](link).gauge("clock_ahead_seconds", "How far the neighbor's clock is ahead of this server's.",
		func(c *clock) float64 { return c.Ahead }),
	table[clock](link).gauge("clock_uncertainty_seconds", "How far that may be wrong.",
		func(c *clock) float64 { return c.Uncertainty }),
	table[clock](link).flag("clock_wrong", "1 if the clocks differ by more than half of max_future.",
		func(c *clock) bool { return c.Wrong }),
}

type journalStatus = herd.JournalStatus

var journal = table[journalStatus]{prefix: "herd_journal_"}

var ofJournal = numbers[journalStatus]{
	journal.flag("ok", "1 if the journal writes what it is given in time.", func(j *journalStatus) bool { return j.OK }),
	journal.gauge("behind_records", "Upper bound on the number of unwritten records.",
		func(j *journalStatus) float64 { return float64(j.Behind) }),
	journal.gauge("late_seconds", "Age of the oldest unwritten record.", func(j *journalStatus) float64 { return j.Late }),
	journal.counter("commits", "Commits.", func(j *journalStatus) uint64 { return j.Commits }),
	journal.counter("records", "Records in those commits.", func(j *journalStatus) uint64 { return j.Records }),
	journal.counter("failures", "Commits that failed and were retried.",
		func(j *journalStatus) uint64 { return j.Failures }),
	journal.counter("losses", "Times that records on the disk were found to be missing or unreadable.",
		func(j *journalStatus) uint64 { return j.Losses }),
	journal.gauge("loaded_records", "Records read at the start.", func(j *journalStatus) float64 { return float64(j.Loaded) }),
	journal.gauge("not_taken_records", "Records beyond max_clients at the start.",
		func(j *journalStatus) float64 { return float64(j.NotTaken) }),
	journal.gauge("load_seconds", "How long reading them took.", func(j *journalStatus) float64 { return j.LoadTime }),
}

type bridgeStatus = herd.BridgeStatus

var bridge = table[bridgeStatus]{prefix: "herd_bridge_"}

var ofBridge = numbers[bridgeStatus]{
	bridge.flag("restored", "1 if all entries of the bucket were read since the start.",
		func(b *bridgeStatus) bool { return b.Restored }),
	bridge.gauge("behind_records", "Upper bound on the number of records not published.",
		func(b *bridgeStatus) float64 { return float64(b.Behind) }),
	bridge.gauge("shown_records", "Records that it will not publish because the bucket has them.",
		func(b *bridgeStatus) float64 { return float64(b.Shown) }),
	bridge.counter("sessions", "Sessions begun.", func(b *bridgeStatus) uint64 { return b.Sessions }),
	bridge.counter("published", "Records put in the bucket.", func(b *bridgeStatus) uint64 { return b.Published }),
	bridge.counter("refused", "Records for which the bucket had no room.", func(b *bridgeStatus) uint64 { return b.Refused }),
	bridge.counter("conflicts", "Records not put because there was a later entry.",
		func(b *bridgeStatus) uint64 { return b.Conflicts }),
	bridge.counter("cures", "Attempts to replace an entry older than this server's record.",
		func(b *bridgeStatus) uint64 { return b.Cures }),
	bridge.counter("read", "Entries read from the bucket.", func(b *bridgeStatus) uint64 { return b.Read }),
	bridge.counter("applied", "Entries that were new here.", func(b *bridgeStatus) uint64 { return b.Applied }),
	bridge.counter("foreign", "Entries of other herds that were not applied because of the mode.",
		func(b *bridgeStatus) uint64 { return b.Foreign }),
	bridge.counter("invalid", "Entries that were no record of their client.",
		func(b *bridgeStatus) uint64 { return b.Invalid }),
	bridge.counter("future", "Entries further ahead of this server's clock than max_future.",
		func(b *bridgeStatus) uint64 { return b.Future }),
}

type consoleStatus = herd.ConsoleStatus

var console = table[consoleStatus]{prefix: "herd_console_"}

var ofConsole = numbers[consoleStatus]{
	console.counter("denied", "Requests whose token or login was missing, wrong or not enough, or whose Host or Origin is foreign.",
		func(c *consoleStatus) uint64 { return c.Denied }),
	console.counter("logins_refused", "Logins refused.", func(c *consoleStatus) uint64 { return c.LoginsRefused }),
	console.counter("signatures_refused", "Requests refused because of their signature.",
		func(c *consoleStatus) uint64 { return c.SignaturesRefused }),
	console.gauge("sessions", "Logins.", func(c *consoleStatus) float64 { return float64(c.Sessions) }),
}

type askStatus = herd.AskStatus

var ask = table[askStatus]{prefix: "herd_asks_"}

var ofAsks = numbers[askStatus]{
	ask.flag("ok", "1 if the bucket answers.", func(a *askStatus) bool { return a.OK }),
	ask.gauge("open", "WHATSATs that wait for the bucket.", func(a *askStatus) float64 { return float64(a.Open) }),
	ask.gauge("in_flight", "Asks in progress.", func(a *askStatus) float64 { return float64(a.InFlight) }),
	ask.counter("sent", "Asks: reads of a client's entry for a WHATSAT.", func(a *askStatus) uint64 { return a.Sent }),
	ask.counter("found", "Asks that found a record greater than this server's, or the first one.",
		func(a *askStatus) uint64 { return a.Found }),
	ask.counter("older", "Asks that found a record not greater than this server's.",
		func(a *askStatus) uint64 { return a.Older }),
	ask.counter("none", "Asks that found no record.", func(a *askStatus) uint64 { return a.None }),
	ask.counter("invalid", "Asks that found what is no record of the client, or one too far in the future.",
		func(a *askStatus) uint64 { return a.Invalid }),
	ask.counter("failed", "Asks without an answer.", func(a *askStatus) uint64 { return a.Failed }),
	ask.counter("shared", "WHATSATs that waited for the ask of another one.", func(a *askStatus) uint64 { return a.Shared }),
	ask.counter("cached", "WHATSATs that were given the result of a recent ask.",
		func(a *askStatus) uint64 { return a.Cached }),
	ask.counter("busy", "WHATSATs whose ask did not get its turn in time.", func(a *askStatus) uint64 { return a.Busy }),
}

type tokensStatus = herd.TokensStatus

var tokens = table[tokensStatus]{prefix: "herd_tokens_"}

var ofTokens = numbers[tokensStatus]{
	tokens.gauge("known", "Tokens in the tokens file.", func(t *tokensStatus) float64 { return float64(t.Count) }),
	tokens.gauge("expired", "Tokens of the file that have expired.", func(t *tokensStatus) float64 { return float64(t.Expired) }),
	tokens.gauge("connections", "Connections of clients that have shown a token.",
		func(t *tokensStatus) float64 { return float64(t.Connections) }),
	tokens.gauge("loaded_timestamp_seconds", "When the tokens in force were read.",
		func(t *tokensStatus) float64 { return unix(&t.Loaded) }),
	tokens.flag("ok", "1 unless a later reload of the file failed.", func(t *tokensStatus) bool { return t.Error == "" }),
}

type tlsStatus = herd.TLSStatus

var ofTLS = numbers[tlsStatus]{
	table[tlsStatus]{prefix: "herd_certificate_"}.gauge("expires_timestamp_seconds", "When the server's certificate expires.",
		func(t *tlsStatus) float64 { return unix(&t.Expires) }),
	table[tlsStatus]{prefix: "herd_certificate_"}.flag("ok", "1 unless a later reload of the certificates failed.",
		func(t *tlsStatus) bool { return t.Error == "" }),
}

type networkReport = places.NetworkReport

var network = table[networkReport]{prefix: "herd_places_"}

var ofNetwork = numbers[networkReport]{
	network.counter("attempts", "Requests sent to the provider.", func(r *networkReport) uint64 { return r.Attempts }),
	network.counter("retries", "Requests that repeat a failed one.", func(r *networkReport) uint64 { return r.Retries }),
	network.counter("transient", "Requests that failed for a reason that passes.",
		func(r *networkReport) uint64 { return r.Transient }),
	network.counter("over_limit", "Requests refused because of the provider's limits.",
		func(r *networkReport) uint64 { return r.OverLimit }),
	network.counter("denied", "Requests refused because of the API key.",
		func(r *networkReport) uint64 { return r.Denied }),
	network.counter("invalid", "Requests that the provider called invalid.",
		func(r *networkReport) uint64 { return r.Invalid }),
	network.counter("strange", "Answers that could not be understood.",
		func(r *networkReport) uint64 { return r.Strange }),
	network.counter("rate_waits", "Requests that waited for the rate limit.",
		func(r *networkReport) uint64 { return r.RateWaits }),
	network.counter("rate_refused", "Lookups refused because the rate limit left them no time.",
		func(r *networkReport) uint64 { return r.RateRefused }),
	network.counter("budget_refused", "Lookups refused by the daily budget.",
		func(r *networkReport) uint64 { return r.BudgetRefused }),
	network.counter("share_refused", "Lookups refused by a client address's share of the budget.",
		func(r *networkReport) uint64 { return r.ShareRefused }),
	network.counter("breaker_opened", "Times that a circuit breaker opened.",
		func(r *networkReport) uint64 { return r.BreakerOpened }),
	network.counter("breaker_refused", "Lookups refused by an open circuit breaker.",
		func(r *networkReport) uint64 { return r.BreakerRefused }),
	network.counter("fallbacks", "Lookups answered by the fallback.",
		func(r *networkReport) uint64 { return r.Fallbacks }),
	network.gauge("budget_spent", "Requests of today, in UTC, of all processes with the same budget file.",
		func(r *networkReport) float64 { return float64(r.Budget.Spent) }),
	network.gauge("budget_limit", "Requests that the daily budget allows.",
		func(r *networkReport) float64 { return float64(r.Budget.Limit) }),
	network.flag("budget_ok", "1 if requests can be counted in the budget file.",
		func(r *networkReport) bool { return r.Budget.Error == "" }),
	network.counter("budget_restored", "Times that the budget file had to be restored.",
		func(r *networkReport) uint64 { return r.Budget.Restored }),
}

type fileReport = places.FileReport

var file = table[fileReport]{prefix: "herd_places_file_"}

var ofFile = numbers[fileReport]{
	file.gauge("places", "Places in the file.", func(r *fileReport) float64 { return float64(r.Places) }),
	file.gauge("skipped", "Places of the file without a name or a position.",
		func(r *fileReport) float64 { return float64(r.Skipped) }),
	file.gauge("read_timestamp_seconds", "When the file was read.", func(r *fileReport) float64 { return unix(&r.Read) }),
	file.flag("ok", "1 unless a later reload of the file failed.", func(r *fileReport) bool { return r.Error == "" }),
}
