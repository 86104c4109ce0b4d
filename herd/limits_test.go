package herd

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"serverherd/herd/config"
)

// limitCase is one or more limits that are hit on purpose: keys of [limits] or names of Constants.
type limitCase struct {
	limits string // with a space between two
	counts string // what must be counted for it in /status.json: counters, or links.NAME
	// hit goes past the limits and returns the server that then tells of it. A limit in whose way
	// this package has no stone is the matter of another test: by is its file and name.
	hit func(t *testing.T) *Server
	by  string
}

var limitCases = []limitCase{
	{counts: "lines_received replies iamat whatsat stored refused lookups_failed accepted", hit: hitNothing},
	{counts: "applied links.at_sent links.at_received links.duplicates links.copies links.resumes", hit: hitNoLimitOfLinks},
	{counts: "links.repairs links.checks", hit: hitNoLimitOfRepairs},
	{limits: "tls_handshake", by: "reactor/reactortest/handshakes.go failedHandshakes"},
	{limits: "tls_handshakes", by: "reactor/reactortest/handshakes.go manyHandshakes"},
	{limits: "console_first_byte", by: "cmd/herd/console/tls_test.go TestConsoleWithAndWithoutTLS"},
	{counts: "tls_failed tls_missing", by: "herd/secure_test.go TestTLSOfClientsAndLinks"},
	{counts: "proxy_refused", by: "herd/secure_test.go TestProxies"},
	{counts: "foreign", by: "herd/origins_test.go TestARollingChangeOfTheServers"},

	{limits: "max_line", counts: "lines_too_long", hit: hitMaxLine},
	{limits: "max_client_id", counts: "refused", hit: hitMaxClientID},
	{limits: "max_connections reserved_connections turned_away", counts: "server_full", hit: hitMaxConnections},
	{limits: "max_clients", counts: "clients_refused", hit: hitMaxClients},
	{limits: "max_future", counts: "refused", hit: hitMaxFuture},
	{limits: "idle_timeout", counts: "idle_timeouts", hit: hitIdleTimeout},
	{limits: "partial_line_timeout", counts: "partial_timeouts", hit: hitPartialLineTimeout},
	{counts: "unfinished_lines", by: "herd/unfinished_test.go TestUnfinishedLineIsExecuted"},
	{limits: "output_hard", counts: "output_limits", hit: hitOutputHard},
	{limits: "output_soft output_soft_time", counts: "output_limits", hit: hitOutputSoft},
	{limits: "stall_time", counts: "stall_limits", hit: hitStallTime},
	{limits: "max_buffered", counts: "memory_limits", hit: hitMaxBuffered},
	{limits: "places_in_flight waiting_lookups lookup_reserve", counts: "lookups_waited lookups_busy lookups_displaced",
		hit: hitPlacesInFlight},
	{counts: "lookups_expired", hit: hitPlacesTimeout},
	{counts: "lookups_shared lookups_cancelled", hit: hitSharedLookup},
	{limits: "drain", by: "cmd/herd/serve_test.go TestDrainTime"},

	{limits: "open_lookups", counts: "held", hit: hitOpenLookups},
	{limits: "held_backlog", counts: "held", hit: hitHeldBacklog},
	{limits: "held_replies", counts: "held", hit: hitHeldReplies},
	{limits: "held_input held_input_timeout", counts: "input_limits", hit: hitHeldInput},
	{limits: "linger", counts: "linger_limits", hit: hitLinger},
	{limits: "accept_pause", counts: "accept_failures", by: "reactor/reactortest/process.go noDescriptors"},

	{limits: "dial_timeout", counts: "links.dials_failed", hit: hitDialTimeout},
	{limits: "min_retry max_retry", counts: "links.dials_failed", hit: hitRetry},
	{limits: "handshake_timeout", counts: "links_unanswered handshakes_failed", hit: hitHandshakeTimeout},
	{limits: "ping_after ping_every dead_after", counts: "links_silent", hit: hitDeadAfter},
	{limits: "link_line", counts: "links_garbled links.bad_lines", hit: hitLinkLine},
	{limits: "bad_lines bad_lines_time", counts: "links_garbled links.bad_lines", hit: hitBadLines},
	{limits: "bad_lines", counts: "links_garbled links.bad_lines", hit: hitBadLinesOfAcceptor},
	{limits: "link_unread", counts: "links_unread", hit: hitLinkUnread},
	{limits: "pump_pause", by: "herd/pump_test.go TestPumpPause"},
	{limits: "link_window", counts: "links.stalls", hit: hitLinkWindow},
	{limits: "slow_link_window slow_link_time", counts: "links.stalls", hit: hitSlowLinkWindow},
	{limits: "marks_in_flight", counts: "links_unacknowledged", hit: hitMarksInFlight},
	{limits: "ack_after", counts: "links_unacknowledged", hit: hitAckAfter},
	{limits: "links_of_one", counts: "links_replaced", hit: hitLinksOfOne},
	{limits: "former_processes", hit: hitFormerProcesses},
	{limits: "return_pause max_return_pause", counts: "links.taken_back", hit: hitReturnPause},
	{limits: "return_quiet", by: "herd/former_test.go TestAPauseIsForgotten"},
	{limits: "claim_time", counts: "handshakes_failed", hit: hitClaimTime},
	{limits: "plain_unsent", counts: "links.stalls", by: "herd/legacy_test.go TestASlowLegacyNeighbor"},
	{limits: "min_probe max_probe", by: "herd/probe_test.go TestANeighborThatDoesNotAnswer"},
	{limits: "repair_pause max_repair_pause", by: "herd/link_test.go TestNoRepairStorm"},
	{limits: "connections_per_address", counts: "limit_connections", hit: hitConnectionsPerAddress},
	{limits: "connections_per_token", counts: "limit_connections", hit: hitConnectionsPerToken},
	{limits: "lines_per_address", counts: "limit_lines", hit: hitLinesPerAddress},
	{limits: "lines_per_token", counts: "limit_lines", hit: hitLinesPerToken},
	{limits: "updates_per_client", counts: "limit_updates", hit: hitUpdatesPerClient},
	{limits: "whatsats_per_address", counts: "limit_whatsats", hit: hitWhatsatsPerAddress},
	{limits: "whatsats_per_token", counts: "limit_whatsats", hit: hitWhatsatsPerToken},
	{limits: "addresses_noted", counts: "limit_whatsats", hit: hitAddressesNoted},
	{limits: "token_timeout", counts: "tokens_late tokens_missing", hit: hitTokenTimeout},
	{counts: "tokens_refused tokens_revoked rights_refused", hit: hitTokens},
	{counts: "other_protocols", hit: hitOtherProtocol},
	{limits: "refusal_pause refusals_noted", counts: "handshakes_failed", hit: hitRefusals},

	{limits: "log_buffer", counts: "log_dropped", by: "cmd/herd/e2e/logdisk_test.go TestLogOnAStalledDisk"},
	{limits: "log_check", counts: "log_reopened", by: "cmd/herd/e2e/logfile_test.go TestLogFileMovedOrDeleted"},
	{limits: "console_connections", by: "cmd/herd/console/limited_test.go TestConnectionsAreLimited"},
	{limits: "console_requests console_streams", by: "cmd/herd/console/limited_test.go TestRequestsAreLimited"},
	{limits: "console_header", by: "cmd/herd/console/login_test.go TestLongHeaders"},
	{limits: "console_body", by: "cmd/herd/console/login_test.go TestLoginBodies"},
	{limits: "console_login", by: "cmd/herd/console/door/door_test.go TestSessions"},
	{limits: "console_sessions", by: "cmd/herd/console/door/door_test.go TestSessionsAreLimited"},
	{limits: "console_nonces", by: "cmd/herd/console/door/door_test.go TestNonces"},
	{limits: "follow_pause", by: "cmd/herd/console/follow/follow_test.go TestAThousandMovesInOneWindow"},
	{limits: "follow_records", by: "cmd/herd/console/follow/follow_test.go TestMoreThanATurn"},
	{limits: "follow_bytes", by: "cmd/herd/console/follow/follow_test.go TestLongRecords"},
	{limits: "watch_backlog", by: "cmd/herd/console/follow/follow_test.go TestStalledReaderOfAll"},
	{limits: "watch_heartbeat", by: "cmd/herd/console/watch_test.go TestWatch"},
	{limits: "console_stall", by: "cmd/herd/console/watch_test.go TestWatchThatIsNotRead"},
	{limits: "console_close", by: "cmd/herd/console/watch_test.go TestCloseIsBounded"},
	{limits: "console_answer", by: "cmd/herd/ask/ask_test.go TestHostileConsoles"},
	{limits: "console_links", by: "cmd/herd/ask/ask_test.go TestStatusWithManyLinks"},
	{limits: "console_herd_pause", by: "cmd/herd/console/herd_test.go TestHerdIsAskedForAll"},
	{limits: "console_herd_timeout", by: "cmd/herd/console/herd_test.go TestHerdTakesTooLong"},
	{limits: "console_sends", by: "cmd/herd/console/send_test.go TestSendsAreLimited"},
	{limits: "console_send_timeout", by: "cmd/herd/console/send_test.go TestSendTimeout"},
	{limits: "console_send_reply", by: "cmd/herd/console/send_test.go TestSendToBadServers"},
	{limits: "console_reloads", by: "cmd/herd/console/reload_test.go TestReloadsAreLimited"},
	{limits: "console_reload_pause", by: "cmd/herd/servereload_test.go TestPauseBetweenReloads"},
	{limits: "console_level_changes console_level_pause", by: "cmd/herd/console/reload_test.go TestLevelChangesAreLimited"},
	{limits: "console_walks", by: "cmd/herd/console/clients_test.go TestClientsTakeTurns"},
	{limits: "console_ask_timeout", by: "cmd/herd/ask/ask_test.go TestSlowConsoles"},
	{limits: "replay_floods", by: "cmd/herd/console/replay/replay_test.go TestManyFloods"},
	{limits: "replay_kept replay_pause replay_bytes replay_message", by: "cmd/herd/console/floods_test.go TestKeptFloods"},
	{limits: "dots_clients dots_message", by: "cmd/herd/console/follow/dots_test.go TestDotsOneOf"},
	{limits: "dots_rate dots_burst", by: "cmd/herd/console/wsdots_test.go TestDotsOfAllPagesTogether"},
	{limits: "dots_ids", by: "cmd/herd/console/follow/dots_test.go TestDotsOfLongIDs"},
	{limits: "dots_pause", by: "cmd/herd/console/follow/dots_test.go TestFrames"},
	{limits: "page_request", by: "cmd/herd/console/wsdots_test.go TestWSInvalid"},
	{limits: "page_requests", by: "cmd/herd/console/viewer/viewer_test.go TestInbox"},
	{limits: "page_text page_lines", by: "cmd/herd/console/ws_test.go TestLiveIsShort"},
	{limits: "commit_pause commit_records commit_bytes", by: "herd/journal_test.go TestManyRecordsAreWrittenInManyTurns"},
	{limits: "journal_check", by: "herd/journal/directory_test.go TestDirectoryChangedByOthers"},
	{limits: "journal_late", by: "herd/journal_test.go TestAStalledDiskDoesNotGrow"},
	{limits: "bridge_records", by: "herd/bridge_test.go TestBridgeBounds"},
	{limits: "bridge_bytes", by: "herd/bridgelimits_test.go TestBridgeBatchBytes"},
	{limits: "bridge_look", by: "herd/bridgelimits_test.go TestBridgeLook"},
	{limits: "bridge_pass", by: "herd/bridge_test.go TestBridgePass"},
	{limits: "bridge_refused_pass", by: "herd/bridge_test.go TestBridgeRefused"},
	{limits: "bridge_turn bridge_foreign", by: "herd/bridgelimits_test.go TestBridgeDelays"},
	{limits: "bridge_neighbors", by: "herd/bridge_test.go TestBridgeWaitsForNeighbors"},
	{limits: "bridge_restore", by: "herd/restore_test.go TestRestore"},
	{limits: "bridge_quiet", by: "herd/bridge_test.go TestBridgeCannotPublish"},
	{limits: "bridge_skew", by: "herd/bridge_test.go TestBridgeFuture"},
	{limits: "bucket_batch", by: "cmd/herd/jetstream/natstest/bucket_test.go TestBackpressure"},
	{limits: "ask_timeout ask_in_flight", counts: "asks.sent asks.failed asks.busy", hit: hitAskInFlight},
	{limits: "ask_kept", counts: "asks.found asks.older asks.none asks.invalid asks.shared asks.cached", hit: hitAskKept},
	{limits: "ask_results", by: "herd/ask_test.go TestAskResultsAreBounded"},
	{limits: "ask_probe", by: "herd/ask_test.go TestAskProbe"},
	{limits: "ask_quiet", by: "herd/ask_test.go TestAskFailuresAreLoggedOnce"},
	{limits: "turn_share", by: "reactor/share_test.go TestEventsHaveAShare"},
	{limits: "slow_turn", by: "reactor/loop_test.go TestSlowTurnAlarm"},
}

// Every limit is hit on purpose by a test, and every counter is moved by one.
func TestLimits(t *testing.T) {
	var hit, counted []string
	for _, c := range limitCases {
		hit = append(hit, strings.Fields(c.limits)...)
		counted = append(counted, strings.Fields(c.counts)...)
		t.Run(c.limits, func(t *testing.T) {
			if c.hit == nil {
				mustExist(t, c.by)
				return
			}
			srv := c.hit(t)
			for _, name := range strings.Fields(c.counts) {
				if countOf(srv.Status(), name) == 0 {
					t.Errorf("%s is not counted", name)
				}
			}
		})
	}
	var limits, counters []string
	for keys, i := reflect.TypeFor[config.Limits](), 0; i < keys.NumField(); i++ {
		limits = append(limits, keys.Field(i).Tag.Get("json"))
	}
	for _, c := range Constants() {
		limits = append(limits, c.Name)
	}
	counters = append(counters, jsonNames(Counters{}, "")...)
	for _, name := range jsonNames(LinkStatus{}, "links.") {
		switch name {
		case "links.sent", "links.acknowledged", "links.behind", "links.heard": // positions
		default:
			counters = append(counters, name)
		}
	}
	counters = append(counters, jsonNames(AskStatus{}, "asks.")...)
	mustBeAll(t, "limit", limits, hit)
	mustBeAll(t, "counter", counters, counted)
}

// mustBeAll holds that there is a test of everything, and of nothing that is not there.
func mustBeAll(t *testing.T, what string, all, tested []string) {
	t.Helper()
	for _, name := range all {
		if !slices.Contains(tested, name) {
			t.Errorf("no test of the %s %s", what, name)
		}
	}
	for _, name := range tested {
		if !slices.Contains(all, name) {
			t.Errorf("there is no %s %s", what, name)
		}
	}
}

// mustExist holds that there is a test where there should be one.
func mustExist(t *testing.T, by string) {
	t.Helper()
	file, name, _ := strings.Cut(by, " ")
	text, err := os.ReadFile("../" + file)
	test := regexp.MustCompile(`(?m)^func (\(\w+ \w+\) )?` + name + `\(t \*testing\.T\) \{`)
	if err != nil || name == "" || !test.Match(text) {
		t.Errorf("there is no test %s, %v", by, err)
	}
}

// jsonNames are the names of a struct's counters, with something in front.
func jsonNames(of any, prefix string) (names []string) {
	v := reflect.TypeOf(of)
	for i := range v.NumField() {
		if f := v.Field(i); f.Type.Kind() == reflect.Uint64 {
			names = append(names, prefix+f.Tag.Get("json"))
		}
	}
	return names
}

// countOf is a counter as /status.json shows it, of asks, or of all links together.
func countOf(s Status, name string) (n float64) {
	text, _ := json.Marshal(s)
	var shown struct {
		Counters map[string]float64
		Links    []map[string]any
		Asks     map[string]any
	}
	_ = json.Unmarshal(text, &shown)
	if ofAsks, isAsks := strings.CutPrefix(name, "asks."); isAsks {
		count, _ := shown.Asks[ofAsks].(float64)
		return count
	}
	ofLink, isLinks := strings.CutPrefix(name, "links.")
	if !isLinks {
		return shown.Counters[name]
	}
	for _, l := range shown.Links {
		count, _ := l[ofLink].(float64)
		n += count
	}
	return n
}

// counted is Status's counters, for conditions.
func (w *world) counted(name string) func() bool {
	return func() bool { return countOf(w.servers["Alford"].Status(), name) > 0 }
}

// hitNothing is ordinary traffic.
func hitNothing(t *testing.T) *Server {
	w := newWorld(t, testConfig(config.Server{Name: "Alford", Address: "Alford:1"}))
	w.places = &slowPlaces{err: errors.New("no answer")}
	srv := w.start("Alford")
	w.dial("Alford").ask(6, "IAMAT k +1-1 5\nIAMAT k +1-1 4\nWHATSAT k 1 1\nWHATSAT moa 1 1\nIAMAT\nnonsense\n")
	want := Counters{
		Accepted: 1, LinesReceived: 6, Replies: 6, IAMAT: 2, Stored: 1, WHATSAT: 1, LookupsFailed: 1, Refused: 4,
	}
	if srv.counters != want {
		t.Errorf("%+v, want %+v", srv.counters, want)
	}
	return srv
}

func hitNoLimitOfLinks(t *testing.T) *Server {
	w := ringOf(t, nil, "Alford", "Hamilton", "Holiday", "Ball", "Welsh")
	w.until("live", w.live)
	w.iamat("Hamilton", "a", stamp)
	w.until("equal", w.equal)
	w.net.Reset("Alford", "Hamilton")
	w.iamat("Alford", "b", stamp)
	w.until("live", func() bool { return w.counted("links.resumes")() && w.live() && w.equal() })
	return w.servers["Alford"]
}

func hitNoLimitOfRepairs(t *testing.T) *Server {
	w := newWorld(t, testConfig(ring...)).startAll()
	w.iamat("Alford", "a", stamp)
	w.until("equal", w.equal)
	w.servers["Alford"].store.Damage([]byte("a"), nil)
	w.until("repaired", func() bool { return w.counted("links.repairs")() && w.live() && w.equal() })
	return w.servers["Alford"]
}
