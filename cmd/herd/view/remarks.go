package view

import (
	"fmt"
	"math"
	"strings"
	"time"

	"serverherd/herd"
	"serverherd/places"
)

// DefaultEngine is the engine that production uses.
const DefaultEngine = "loop"

// duplicates explain the values of herd.LinkStatus.Duplicate.
var duplicates = map[string]string{
	"refused":    "one of them is rejected",
	"taken back": "the replaced one was accepted again, because the other one is gone or is not at its address",
}

// Remarks are what is wrong with a server (Bad), an engine other than the default, and counters of events
// that should not happen (Notice). They may contain strings of the server.
func Remarks(s *herd.Status) (all []Text) {
	if s == nil {
		return nil
	}
	bad := func(text string) { all = append(all, Text{Bad, text}) }
	if s.Digest == FullDigest {
		bad("full: records were dropped; raise max_clients")
	}
	for i := range s.Links {
		for _, text := range linkRemarks(s, &s.Links[i]) {
			bad(text)
		}
	}
	if s.Log.Error != "" {
		bad("log error: " + s.Log.Error)
	}
	if t := s.Tokens; t != nil && t.Error != "" {
		bad(fmt.Sprintf("serving the tokens read at %s; the changed file is invalid: %s",
			t.Loaded.Local().Format(time.DateTime), t.Error))
	}
	if t := s.TLS; t != nil {
		for _, text := range tlsRemarks(t, s.Now) {
			bad(text)
		}
	}
	if j := s.Journal; j != nil && !j.OK {
		bad(journalRemark(j))
	}
	if b := s.Bridge; b != nil && b.Error != "" {
		bad(BridgeText(b))
	}
	if a := s.Asks; a != nil && !a.OK {
		bad(join(": ", "the bucket does not answer", a.Error))
	}
	if p := s.Places; p != nil {
		for _, text := range placesRemarks(p) {
			bad(text)
		}
	}
	notice := func(text string) { all = append(all, Text{Notice, text}) }
	if s.Engine != DefaultEngine {
		notice("engine " + s.Engine + " is for comparison only")
	}
	if len(s.OpenBeyondLoopback) > 0 {
		notice("open to other machines without a token: " + strings.Join(s.OpenBeyondLoopback, ", "))
	}
	if j := s.Journal; j != nil && j.Losses > 0 {
		notice("journal lost and rewritten " + Plural(j.Losses, "time", "times"))
	}
	if b := s.Bridge; b != nil {
		if b.Invalid > 0 {
			notice(Plural(b.Invalid, "invalid entry", "invalid entries") + " read from the bucket")
		}
		if b.Future > 0 {
			notice(Plural(b.Future, "entry", "entries") + " of the bucket ahead of the clock by more than max_future")
		}
	}
	if a := s.Asks; a != nil && a.Busy > 0 {
		notice(Plural(a.Busy, "WHATSAT", "WHATSATs") + " did not ask the bucket because too many did")
	}
	for _, text := range events(&s.Counters) {
		notice(text)
	}
	return all
}

// BridgeText is a bridge's state in words. An error that a connected bridge still shows is an earlier one.
func BridgeText(b *herd.BridgeStatus) string {
	switch {
	case b.Error == "":
		return fmt.Sprintf("bridge %s, %s behind", b.State, Plural(b.Behind, "record", "records"))
	case b.State == herd.BridgeDown || b.State == herd.BridgeReading:
		return "bridge " + b.State + ": " + b.Error
	}
	return "bridge " + b.State + ", last error: " + b.Error
}

// linkRemarks are the problems of a link.
func linkRemarks(s *herd.Status, l *herd.LinkStatus) (all []string) {
	switch {
	case l.DivergedSince != nil:
		all = append(all, fmt.Sprintf("records differ from %s since %s", l.Neighbor, l.DivergedSince.Local().Format(time.DateTime)))
	case l.Agreement == FullDigest && s.Digest != FullDigest:
		all = append(all, l.Neighbor+" is full: it dropped records")
	}
	switch {
	case l.State != herd.LinkLive && l.State != herd.LinkLegacy:
		all = append(all, join(": ", "link to "+l.Neighbor+" is "+l.State, l.Reason()))
	case !Live(l):
		all = append(all, "no link from "+l.Neighbor)
	}
	if c := l.Clock; c != nil && c.Wrong {
		how := "ahead of"
		if c.Ahead < 0 {
			how = "behind"
		}
		ahead := time.Duration(math.Abs(c.Ahead) * float64(time.Second)).Round(time.Millisecond)
		all = append(all, fmt.Sprintf("the clock of %s is %v %s this server's", l.Neighbor, ahead, how))
	}
	if l.Duplicate != "" {
		all = append(all, join(": ", "two processes use the name "+l.Neighbor, duplicates[l.Duplicate]))
	}
	return all
}

// journalRemark says what is wrong with a journal that is not OK.
func journalRemark(j *herd.JournalStatus) string {
	if j.Behind == 0 {
		return "journal error: " + j.Error
	}
	return join(": ", fmt.Sprintf("journal behind by %s, %.0f s", Plural(j.Behind, "record", "records"), j.Late), j.Error)
}

// expiresSoon is how long before it expires a certificate is a problem.
const expiresSoon = 7 * 24 * time.Hour

// tlsRemarks are the problems of a server's certificate.
func tlsRemarks(t *herd.TLSStatus, now time.Time) (all []string) {
	if t.Error != "" {
		all = append(all, "serving the old certificate; the changed files are invalid: "+t.Error)
	}
	at := t.Expires.Local().Format(time.DateTime)
	switch left := t.Expires.Sub(now); {
	case left <= 0:
		all = append(all, "the certificate has expired at "+at+", and is refused: replace it, as herd cert --force does")
	case left < expiresSoon:
		all = append(all, "the certificate expires at "+at+": replace it, as herd cert --force does")
	}
	return all
}

// TLSText is the modes of TLS, and until when the certificate is valid.
func TLSText(t *herd.TLSStatus) string {
	return fmt.Sprintf("links %s, clients %s, console %s; certificate valid until %s", t.Links, t.Clients, t.Console,
		t.Expires.Local().Format(time.DateTime))
}

// placesRemarks are the problems of the places provider.
func placesRemarks(p *places.Report) (all []string) {
	if p.File != nil && p.File.Refused != nil {
		all = append(all, fmt.Sprintf("serving the places read at %s; the changed file is invalid: %s",
			p.File.Read.Local().Format(time.DateTime), p.File.Error))
	}
	if p.Network != nil && p.Network.Budget.Error != "" {
		all = append(all, "lookups fail because the daily budget cannot be saved: "+p.Network.Budget.Error)
	}
	return all
}

// events are the counters of what should not happen, as far as it happened.
func events(c *herd.Counters) (all []string) {
	for _, event := range []struct {
		n               uint64
		one, many, what string
	}{
		{c.LogDropped, "log entry", "log entries", "dropped"},
		{c.ServerFull, "connection", "connections", "rejected by max_connections"},
		{c.ClientsRefused, "update", "updates", "rejected by max_clients"},
		{c.OutputLimits, "client", "clients", "disconnected by output_hard or output_soft"},
		{c.StallLimits, "client", "clients", "disconnected because they read no replies"},
		{c.MemoryLimits, "client", "clients", "disconnected by max_buffered"},
		{c.InputLimits, "connection", "connections", "closed because held input made no progress"},
		{c.TokensRefused, "connection", "connections", "closed because of an unknown or expired token"},
		{c.TokensLate, "connection", "connections", "closed because no token came in time"},
		{c.TokensMissing, "line", "lines", "rejected because no token was shown"},
		{c.RightsRefused, "line", "lines", "rejected because of the rights of the token"},
		{c.LimitConnections, "connection", "connections", "closed because of the limit of an address or a token"},
		{c.LimitLines, "line", "lines", "rejected because an address or a token sent too many"},
		{c.LimitUpdates, "update", "updates", "rejected by updates_per_client"},
		{c.LimitWhatsats, "WHATSAT", "WHATSATs", "rejected because an address or a token sent too many"},
		{c.OtherProtocols, "connection", "connections", "closed because of another protocol"},
		{c.TLSFailed, "TLS handshake", "TLS handshakes", "failed"},
		{c.TLSMissing, "client", "clients", "refused without TLS"},
		{c.ProxyRefused, "connection", "connections", "of a proxy refused without a PROXY header"},
		{c.LinksUnacknowledged, "link", "links", "closed because the neighbor sent no ACK"},
		{c.LinksUnread, "link", "links", "closed because the neighbor did not read"},
		{c.LinksGarbled, "link", "links", "closed because of bad lines from the neighbor"},
		{c.LookupsBusy, "lookup", "lookups", "rejected because the server was busy"},
		{c.LookupsFailed, "lookup", "lookups", "failed"},
	} {
		if event.n > 0 {
			all = append(all, Plural(event.n, event.one, event.many)+" "+event.what)
		}
	}
	return all
}
