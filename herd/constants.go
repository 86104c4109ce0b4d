package herd

import (
	"fmt"
	"io"
	"time"

	"serverherd/herd/link"
	"serverherd/reactor"
)

// Constant is a limit that no key of herd.toml changes.
type Constant struct {
	Name  string
	Value any // an int, in bytes or pieces, or a time.Duration
	What  string
}

// LogBuffer is how many bytes of log entries may wait for the disk. The log's writer applies it.
const LogBuffer = 8 << 20

// LogCheck is how often the log's writer checks whether its file was moved or deleted.
const LogCheck = time.Second

// Limits of a console. The console's server applies them. 16 connections are left for health checks.
const (
	ConsoleConnections = 512      // at once
	ConsoleRequests    = 112      // at once, whose response is being prepared or sent
	ConsoleStreams     = 384      // at once: responses that go on until their reader leaves
	ConsoleWalks       = 4        // turns of the loop at once for /clients.ndjson; other requests wait
	ConsoleHeader      = 16 << 10 // bytes of a request's header
	ConsoleBody        = 4 << 10  // bytes of a request's body, but for /send
)

// Limits of who may use a console. Package door applies them.
const (
	ConsoleLogin    = 12 * time.Hour
	ConsoleSessions = 1024    // logins at once
	ConsoleNonces   = 1 << 16 // of signed requests, remembered for twice access.SignatureAge
	RefusalPause    = logPause
	RefusalsNoted   = maxLogKeys
)

// Limits of what consoles answer to commands and to each other. Package ask applies them.
const (
	ConsoleAnswer     = 1 << 20                // bytes of an answer that is not a stream
	ConsoleLinks      = 1000                   // in such an answer that is a server's status
	ConsoleAskTimeout = time.Second            // of a console that asks the others
	ConsoleHerdPause  = 500 * time.Millisecond // for which what they said is passed on
	// ConsoleHerdTimeout is for whoever asks a console about the herd: it is longer than asking and what is made
	// of the answers should take.
	ConsoleHerdTimeout = 3 * time.Second
)

// Limits of lines that the page sends to a server's client port. The console applies them.
const (
	ConsoleSends       = 8 // at once
	ConsoleSendTimeout = 10 * time.Second
	ConsoleSendReply   = 1 << 20 // bytes
)

// Limits of requests to change something. The console applies them, and the process the pause between reloads.
const (
	ConsoleReloads      = 8 // at once
	ConsoleReloadPause  = time.Second
	ConsoleLevelChanges = 10 // at once
	ConsoleLevelPause   = 6 * time.Second
)

// Limits of the console's follower of the feed, see package follow, which applies them.
const (
	FollowPause   = 50 * time.Millisecond
	FollowRecords = 2000
	FollowBytes   = 512 << 10
	WatchBacklog  = 32 << 20
	DotsClients   = 250_000
	DotsIDs       = 32 << 20
	DotsPause     = 100 * time.Millisecond
	DotsMessage   = 64 << 10
	DotsRate      = 32 << 20 // of all pages
	DotsBurst     = 8 << 20
)

// Limits of the console's streams. The console's server applies them.
const (
	WatchHeartbeat   = 5 * time.Second
	ConsoleStall     = 10 * time.Second
	ConsoleFirstByte = 5 * time.Second
	ConsoleClose     = time.Second // a stream that has not ended by then is cut off
)

// Limits of what a page is told about the herd, since others' answers may be long.
const (
	PageText  = 200 // bytes of a text
	PageLines = 100 // problems, and as many notes
)

// Limits of what a page asks for. Package viewer applies them.
const (
	PageRequest  = 4 << 10 // bytes of a request
	PageRequests = 16      // of one type that wait
)

// Limits of the floods for the page's replay. Packages console and replay apply them.
const (
	ReplayKept    = time.Minute
	ReplayPause   = 500 * time.Millisecond
	ReplayFloods  = 512
	ReplayBytes   = 4 << 20
	ReplayMessage = 128 << 10
)

// Constants lists the limits that herd.toml does not set. Each is defined where it applies.
func Constants() []Constant {
	return []Constant{
		{"link_line", maxLinkLine, "bytes of a line between servers"},
		{"open_lookups", maxOpen, "WHATSATs of a connection without their reply: further lines are held"},
		{"held_backlog", maxBacklog, "bytes that a client has not read: further lines are held"},
		{"held_replies", maxHeldReplies, "bytes of replies that wait for an earlier one: likewise"},
		{"held_input", reactor.MaxHeldInput, "bytes of lines that are held: the socket is not read"},
		{"held_input_timeout", reactor.HeldInputTimeout, "without progress in that state: the connection is closed"},
		{"waiting_lookups", maxWaiting, "lookups that wait for their turn; then whoever has most of them gets BUSY"},
		{"lookup_reserve", reserveShare, "divides places_in_flight: lookups reserved for connections, and for addresses, without one"},
		{"output_soft_time", softTime, "for which a client may leave more than output_soft unread"},
		{"stall_time", stallTime, "for which a client may read nothing of its replies, however few are pending"},
		{"reserved_connections", minOverflow, "taken beyond max_connections, and two for each neighbor"},
		{"accept_pause", reactor.AcceptPause, "after which accepting is tried again if it failed"},
		{"token_timeout", tokenTimeout, "from the accept, for a client to show a token if one is required: it is closed"},
		{"addresses_noted", maxIdleAddresses, "addresses without a connection whose use of a limit is remembered; of more, one is forgotten"},
		{"linger", reactor.Linger, "without progress, after which a closing connection is given up"},
		{"tls_handshake", reactor.TLSHandshakeTime, "of a TLS handshake, on both sides"},
		{"tls_handshakes", reactor.MaxTLSHandshakes, "TLS handshakes of accepted connections in progress; for one more, the oldest is given up. GOMAXPROCS minus 1 of them compute at once"},
		{"dial_timeout", dialTimeout, "of a dial to a neighbor"},
		{"handshake_timeout", link.HandshakeTimeout, "of a handshake, on both sides"},
		{"ping_after", link.PingAfter, "of silence, after which a neighbor is pinged"},
		{"ping_every", link.PingEvery, "between two PINGs at most, in any case: they contain the clock"},
		{"dead_after", link.DeadAfter, "of silence; the link is dropped up to 500 ms later"},
		{"ack_after", link.AckAfter, "from the PONG that a MARK has been read to its ACK; the link is dropped up to 500 ms later"},
		{"min_retry", reactor.MinRetryDelay, "before the second dial, plus or minus a half (125 to 375 ms); it doubles up to max_retry"},
		{"max_retry", reactor.MaxRetryDelay, "between two dials, plus or minus a half (2.5 to 7.5 s)"},
		{"pump_pause", PumpPause, "from a send of updates to neighbors to the next one, unless there was more than one send holds"},
		{"link_window", link.Window, "bytes of AT lines on a link without their ACK"},
		{"slow_link_window", link.SlowWindow, "the same, on a link whose ACKs take longer than slow_link_time"},
		{"slow_link_time", link.SlowAfter, "see slow_link_window"},
		{"link_unread", maxUnread, "bytes that a neighbor has not read: its link is dropped"},
		{"bad_lines", link.MaxBadLines, "invalid lines in bad_lines_time: the link is dropped"},
		{"bad_lines_time", link.BadLinesTime, "see bad_lines"},
		{"marks_in_flight", link.MaxMarks, "MARKs on a link without their ACK: the link is dropped"},
		{"links_of_one", maxInbounds, "connections of one neighbor: the oldest is dropped"},
		{"former_processes", link.MaxFormer, "remembered of a neighbor, to refuse them while their successor is connected"},
		{"return_pause", link.MinReturnPause, "before a former process is accepted again; it doubles"},
		{"max_return_pause", link.MaxReturnPause, "the longest such pause"},
		{"return_quiet", link.ReturnQuiet, "after such a pause without a return: the next one is return_pause again"},
		{"claim_time", claimTime, "for which a duplicate name is reported after the last sign of it"},
		{"plain_unsent", link.LegacyUnsent, "bytes unsent to a legacy neighbor: nothing more is sent"},
		{"min_probe", minProbePause, "between two probes of one that did not answer; it doubles"},
		{"max_probe", maxProbePause, "the longest pause between two probes"},
		{"turned_away", maxTurnedAway, "connections that get SERVER FULL at once; more are closed without it"},
		{"repair_pause", link.MinRepairPause, "between two repairs of a neighbor; it doubles"},
		{"max_repair_pause", link.MaxRepairPause, "the longest pause between two repairs"},
		{"refusal_pause", logPause, "between two log entries of one refusal and address"},
		{"refusals_noted", maxLogKeys, "reasons and addresses remembered for that, of each message; more are not logged"},
		{"log_buffer", LogBuffer, "bytes of log entries that wait for the disk; more are dropped"},
		{"log_check", LogCheck, "between two checks whether the log file was moved or deleted"},
		{"console_connections", ConsoleConnections, "connections to the console; for one more, the longest idle one is closed"},
		{"console_requests", ConsoleRequests, "requests to the console at once, but for health and readiness; more get 503"},
		{"console_streams", ConsoleStreams, "the same, of requests that last: profiles and streams"},
		{"console_walks", ConsoleWalks, "requests for /clients.ndjson that the loop serves at once; others wait for their turn"},
		{"console_header", ConsoleHeader, "bytes of the header of a request to the console; for a longer one it is 431"},
		{"console_body", ConsoleBody, "bytes of the body of a request to the console, but for /send; for a longer one it is 413"},
		{"console_login", ConsoleLogin, "after which a login to the console ends"},
		{"console_sessions", ConsoleSessions, "logins to a console; for one more, the oldest of the token that has most of them ends"},
		{"console_nonces", ConsoleNonces, "signed requests to a console in a minute; more are refused"},
		{"console_answer", ConsoleAnswer, "bytes of another console's answer; a longer one is an error"},
		{"console_links", ConsoleLinks, "links in another console's answer; more are an error"},
		{"console_ask_timeout", ConsoleAskTimeout, "for the answer of another console; commands have --timeout"},
		{"console_herd_pause", ConsoleHerdPause, "for which /herd.json repeats what the servers said, before it asks them again"},
		{"console_herd_timeout", ConsoleHerdTimeout, "for the answer of /herd.json; then it is an error"},
		{"console_sends", ConsoleSends, "lines that /send sends at once; more get 503"},
		{"console_send_timeout", ConsoleSendTimeout, "for the reply to such a line"},
		{"console_send_reply", ConsoleSendReply, "bytes of the reply to such a line; a longer one is an error"},
		{"console_reloads", ConsoleReloads, "requests for /reload at once; more get 503; those with a token apart"},
		{"console_reload_pause", ConsoleReloadPause, "between two reloads that consoles are asked for; SIGHUP does not wait"},
		{"console_level_changes", ConsoleLevelChanges,
			"changes of the log level at once, by tokens, and as many without; more get 429"},
		{"console_level_pause", ConsoleLevelPause, "then between two of them"},
		{"follow_pause", FollowPause, "between two reads of the feed for the console, while somebody watches"},
		{"follow_records", FollowRecords, "records of such a read"},
		{"follow_bytes", FollowBytes, "bytes of such a read"},
		{"watch_backlog", WatchBacklog, "memory for what watchers of all clients have not read; the oldest updates are dropped"},
		{"dots_clients", DotsClients, "whose positions the page's map has; of more, it has 1 of 2, 4, 8..."},
		{"dots_ids", DotsIDs, "bytes of their ids, likewise"},
		{"dots_pause", DotsPause, "between two times that a page gets changed positions"},
		{"dots_message", DotsMessage, "bytes of a message with positions"},
		{"dots_rate", DotsRate, "bytes of such messages a second, of all pages together, so that clients need not wait for pages"},
		{"dots_burst", DotsBurst, "bytes of them at once"},
		{"watch_heartbeat", WatchHeartbeat, "without an update, after which /watch sends an empty line"},
		{"console_first_byte", ConsoleFirstByte, "for the first byte of a connection to a console with tls = \"optional\""},
		{"console_stall", ConsoleStall, "for which a reader of the console may take nothing: it is closed"},
		{"console_close", ConsoleClose, "for which a server that stops lets requests to its console end; then they are cut off"},
		{"page_text", PageText, "bytes of a text of another console that the page shows; a longer one is cut"},
		{"page_lines", PageLines, "problems, and as many notes, that the page lists; it says how many more there are"},
		{"page_request", PageRequest, "bytes of a request of the page; a longer one ends its connection"},
		{"page_requests", PageRequests, "requests of one type and page that wait; the oldest is dropped"},
		{"replay_kept", ReplayKept, "for which the console keeps floods for the page's replay, while one asks for them"},
		{"replay_pause", ReplayPause, "between two questions to all consoles for their events"},
		{"replay_floods", ReplayFloods, "floods in that time; if there are more, one of 2, 4, 8 ... is shown"},
		{"replay_bytes", ReplayBytes, "of these floods; the oldest are dropped"},
		{"replay_message", ReplayMessage, "bytes of a message with floods, and one flood more"},
		{"commit_pause", commitPause, "for which records are collected before a commit"},
		{"commit_records", commitRecords, "records in a commit"},
		{"commit_bytes", commitBytes, "bytes in a commit"},
		{"journal_check", JournalCheck, "between two checks whether the journal's files still exist"},
		{"journal_late", journalLate, "age of an unwritten record from which the journal is failing"},
		{"bridge_records", bridgeRecords, "records that a bridge publishes at once"},
		{"bridge_bytes", bridgeBytes, "bytes of them, and one record more"},
		{"bridge_look", bridgeLook, "records of the feed that a bridge looks at in one turn"},
		{"bridge_pass", bridgePass, "between two times that a bridge compares everything with the bucket"},
		{"bridge_refused_pass", bridgeRefusedPass, "the same, after the bucket has refused a record"},
		{"bridge_turn", bridgeTurn, "for which a bridge lets the one before it publish first"},
		{"bridge_foreign", bridgeForeign, "for which it lets another herd publish its own records first"},
		{"bridge_neighbors", bridgeNeighbors, "for which a bridge that starts waits for the records of neighbors before it reads the bucket"},
		{"bridge_restore", bridgeRestore, "for which a server that starts without records is not ready until it has read the bucket"},
		{"bridge_skew", bridgeSkew, "by which another herd's clock may be ahead: its records beyond that and max_future are replaced"},
		{"bridge_quiet", bridgeQuiet, "without a failure, since everything was read, after which a bridge is said to have recovered"},
		{"bucket_batch", BucketBatch, "entries of a bucket that one turn applies"},
		{"ask_timeout", askTimeout, "for the bucket's answer about a client, or half of what is left of places.timeout; before that, as long for its turn"},
		{"ask_in_flight", askInFlight, "asks of the bucket at once, an eighth of them for addresses without one; others wait for their turn"},
		{"ask_kept", askKept, "for which the bucket's answer is used again"},
		{"ask_results", askResults, "answers kept for that; the oldest is dropped"},
		{"ask_probe", askProbe, "without an ask, after which the bucket is probed"},
		{"ask_quiet", askQuiet, "without a failed ask, after which the bucket is said to answer again"},
		{"turn_share", reactor.TurnShare, "for which the loop serves connections that send much before others have their turn"},
		{"slow_turn", reactor.SlowTurn, "for which an event may block the loop before it is logged"},
	}
}

// WriteConstants writes them as comments of a herd.toml.
func WriteConstants(w io.Writer) error {
	if _, err := fmt.Fprint(w, "\n# Limits that are not keys:\n"); err != nil {
		return err
	}
	for _, c := range Constants() {
		value := fmt.Sprint(c.Value)
		if d, ok := c.Value.(time.Duration); ok {
			value = d.String()
		}
		if _, err := fmt.Fprintf(w, "# %-21s %8s  %s\n", c.Name, value, c.What); err != nil {
			return err
		}
	}
	return nil
}
