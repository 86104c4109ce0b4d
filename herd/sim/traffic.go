package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"serverherd/places"
	"serverherd/protocol"
	"serverherd/reactor/memreactor"
)

// burstEvery is the mean time between two bursts of lines at one server, burstLines their mean size: about 50 lines a
// second.
const (
	burstEvery = 200 * time.Millisecond
	burstLines = 10
)

// user is a client that has one connection to one server at a time and knows the replies to expect.
type user struct {
	host    *host
	name    string // of its host
	conn    *memreactor.Client
	pending []reply // expected replies, in order
	leaving bool    // it sends nothing more on this connection
}

// reply is an expected reply.
type reply struct {
	kind       replyKind
	text       string
	least      *record // a located reply has at least this record; nil: it may have none
	generation int     // of the process that had it
}

type replyKind uint8

const (
	exactly      replyKind = iota // text
	acknowledged                  // AT <server> <diff> text
	located                       // the AT line of client text and places, or a reason
)

// burst sends some lines to h's server and checks the replies to earlier lines.
func (h *host) burst() {
	w := h.w
	u := h.users[w.rand.IntN(len(h.users))]
	u.check()
	if u.conn == nil || u.conn.Closed() || u.leaving {
		u.connect()
	}
	w.buf = w.buf[:0]
	for range 1 + w.rand.IntN(2*burstLines) {
		u.line()
	}
	u.conn.Send(w.buf)
	u.misbehave()
	w.after(w.span(burstEvery/2, burstEvery*3/2), h.burst)
}

// after calls f after d, if the first phase still lasts.
func (w *world) after(d time.Duration, f func()) {
	w.net.At(d, func() {
		if w.busy {
			f()
		}
	})
}

// connect closes the connection, if there is one, and opens a new one.
func (u *user) connect() {
	switch {
	case u.conn == nil || u.conn.Closed():
	case u.conn.Unsent() > 0:
		u.conn.Reset() // a clean close would make a last line of an incomplete one
	default:
		u.conn.Close()
	}
	u.conn = u.host.w.net.DialFrom(u.name, u.host.self.Address)
	u.pending, u.leaving = u.pending[:0], false
	u.token()
}

// misbehave does what clients may do besides sending lines.
func (u *user) misbehave() {
	w := u.host.w
	switch w.rand.IntN(60) {
	case 0: // the rest of the line is never sent, and the connection is reset
		torn := u.iamat()
		u.conn.SendString(torn[:len(torn)-1-w.rand.IntN(3)])
		w.net.At(w.span(0, 20*time.Millisecond), u.conn.Reset)
		u.leaving = true
	case 1: // a last line without LF
		u.conn.SendString(u.expectIAMAT())
		u.conn.CloseWrite()
		u.leaving = true
	case 2:
		u.expect(exactly, "> Goodbye\n\n")
		u.conn.SendString("quit\nIAMAT after.quit +1+1 1\n")
		u.leaving = true
	case 3:
		conn := u.conn
		conn.Stall()
		w.net.At(w.span(0, 5*time.Second), func() {
			conn.Unstall()
		})
	}
}

func (u *user) expect(kind replyKind, text string) {
	u.pending = append(u.pending, reply{kind: kind, text: text})
}

// expectAtLeast expects the reply to a WHATSAT.
func (u *user) expectAtLeast(client string, least *record) {
	u.pending = append(u.pending, reply{located, client, least, u.host.generation})
}

// line adds one line of any kind to the burst.
func (u *user) line() {
	w := u.host.w
	switch n := w.rand.IntN(100); {
	case n < 78:
		w.buf = append(append(w.buf, u.expectIAMAT()...), '\n')
	case n < 82: // two servers receive different locations of one client with the same time
		line := u.expectIAMAT()
		w.buf = append(append(w.buf, line...), '\n')
		w.sendElsewhere(u, line)
	case n < 85:
		id := w.client()
		w.buf = append(append(append(w.buf, "WHATSAT "...), id...), " 10 2\n"...)
		u.expectAtLeast(id, u.host.newestOf(w.model.client(id)))
	case n < 86:
		w.buf = append(w.buf, "IAMAT far.future +1+1 9999999999\n"...)
		u.expect(exactly, "> IAMAT TIME: 9999999999 is more than 1h0m0s ahead of this server\n"+
			"? IAMAT far.future +1+1 9999999999\n\n")
	default:
		g := invalidLines[w.rand.IntN(len(invalidLines))]
		w.buf = append(append(w.buf, g.line...), '\n')
		switch {
		case g.reason == "":
			u.expect(exactly, "? "+g.line+"\n\n")
		case g.reason == "help":
			u.expect(exactly, help)
		default:
			u.expect(exactly, "> "+g.reason+"\n? "+g.line+"\n\n")
		}
	}
	w.result.Lines++
}

// expectIAMAT returns a line, without LF, that will be acknowledged.
func (u *user) expectIAMAT() string {
	line := u.iamat()
	rest := line[len("IAMAT "):]
	u.host.sent[rest] = true
	u.expect(acknowledged, rest)
	return line
}

// sendElsewhere sends the same line with other coordinates to another server.
func (w *world) sendElsewhere(but *user, line string) {
	f := strings.Split(line, " ")
	u := w.hosts[w.rand.IntN(len(w.hosts))].users[0]
	if u == but || u.conn == nil || u.conn.Closed() || u.leaving {
		return
	}
	rest := f[1] + " " + w.coords() + " " + f[3]
	u.host.sent[rest] = true
	u.expect(acknowledged, rest)
	u.conn.SendString("IAMAT " + rest + "\n")
}

// iamat returns a new update. Most are newer; some repeat an update, some are late, some are ahead.
func (u *user) iamat() string {
	w := u.host.w
	id := w.client()
	n := w.model.client(id)
	var stamp string
	last := w.last(n)
	switch k := w.rand.IntN(100); {
	case k < 6 && last != nil:
		return "IAMAT " + id + " " + last.coords + " " + last.at // the same update
	case k < 12 && last != nil:
		stamp = last.at // the same time, another location
	case k < 14 && last != nil && strings.Contains(last.at, "."):
		stamp = last.at + "0" // the same time, written differently
	case k < 20:
		stamp = w.stamp(-w.span(time.Second, time.Hour))
	case k < 22:
		stamp = w.stamp(20 * time.Minute)
	default:
		stamp = w.stamp(w.span(-time.Second, time.Second))
	}
	return "IAMAT " + id + " " + w.coords() + " " + stamp
}

// last returns the last accepted record of a client.
func (w *world) last(client int) *record {
	all := w.model.records[client]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// client draws a client id: a few are used much more often than the rest.
func (w *world) client() string {
	f := w.rand.Float64()
	return w.ids[int(f*f*f*float64(len(w.ids)))]
}

var positions = []string{
	"+34.068930-118.445127", "+40.446-79.982/", "-33.8688+151.2093", "+0+0", "-0.0-0.0", "+90-180",
	"-90.000+180.000/", "+1-1", "+51.4779-000.0015", "+35.6895+139.6917",
}

func (w *world) coords() string { return positions[w.rand.IntN(len(positions))] }

// stamp returns a POSIX time that is d after now, with any number of digits.
func (w *world) stamp(d time.Duration) string {
	ns := w.net.Now().Add(d).UnixNano()
	b := strconv.AppendInt(nil, ns/1e9, 10)
	digits := w.rand.IntN(13) - 2
	if digits <= 0 {
		return string(b)
	}
	b = append(b, '.')
	fraction := strconv.AppendInt(nil, 1e9+ns%1e9, 10)[1:]
	for i := range digits {
		if i < len(fraction) {
			b = append(b, fraction[i])
		} else {
			b = append(b, '0'+byte(w.rand.IntN(10)))
		}
	}
	return string(b)
}

// clientIDs returns n ids, some of them with unusual bytes.
func clientIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = "client" + strconv.Itoa(i)
	}
	odd := []string{"\xff\xfe", "a\u00a0b", "nul\x00", "\u202egnp", strings.Repeat("x", 1024), "AT", "?", ">"}
	copy(ids[n/2:], odd)
	return ids
}

// timedOut is the reply to a line that is not finished in time. It is expected where a clock was set: virtual time has no
// monotonic clock beside the one that is set, as a time.Time of a real server has.
var timedOut = string(protocol.Paper.AppendFinal(nil, protocol.Unfinished(30*time.Second)))

// check compares received replies with the expected ones.
func (u *user) check() {
	if u.conn == nil {
		return
	}
	got := u.conn.Received()
	for {
		end := bytes.Index(got, []byte("\n\n"))
		if end < 0 {
			break
		}
		if u.ends(string(got[:end+2])) {
			got, u.pending, u.leaving = got[end+2:], u.pending[:0], true
			continue
		}
		if len(u.pending) == 0 && u.host.clockSet != 0 && string(got[:end+2]) == timedOut {
			got = got[end+2:] // and the connection is closed
			continue
		}
		if len(u.pending) == 0 {
			u.host.w.fail("replies", "%s sent the unexpected reply %q", u.host.self.Name, got[:end+2])
			return
		}
		if !u.matches(string(got[:end+2]), u.pending[0]) {
			u.host.w.fail("replies", "%s answered %q, expected %+v", u.host.self.Name, got[:end+2], u.pending[0])
			return
		}
		got = got[end+2:]
		u.pending = u.pending[1:]
		u.host.w.result.Replies++
	}
	if len(got) == 0 {
		u.conn.Take()
	} else {
		rest := bytes.Clone(got)
		u.conn.Take()
		u.conn.Input(rest)
	}
}

// matches reports whether a reply is the expected one.
func (u *user) matches(got string, want reply) bool {
	server := u.host.self.Name
	switch want.kind {
	case exactly:
		return got == want.text
	case acknowledged:
		diff, ok := strings.CutPrefix(got, "AT "+server+" ")
		if !ok {
			return false
		}
		diff, ok = strings.CutSuffix(diff, " "+want.text+"\n\n")
		return ok && validDiff(diff)
	}
	line, answer, _ := strings.Cut(got, "\n")
	text, found := strings.CutPrefix(line, "AT ")
	if want.generation != u.host.generation || u.host.w.damaged {
		want.least = nil
	}
	if !found {
		unknown := "There is no location data at server " + server + " for client " + escaped(want.text)
		return line == "> WHATSAT PLACES: the upstream is out of order" ||
			line == "> WHATSAT PLACES: no answer within 5s" ||
			line == "> WHATSAT BUSY: too many lookups" ||
			want.least == nil && (line == "> WHATSAT REQUEST: "+unknown ||
				u.host.asker() != nil && line == "> WHATSAT BUCKET: "+unknown+", and other herds could not be asked")
	}
	// A record that was replaced within the same chunk was never seen in the store.
	r := u.host.w.model.accepted[text]
	if r == nil {
		r = u.host.w.model.parse(text)
		if r == nil || r.origin != server || !u.host.sent[r.clientID+" "+r.coords+" "+r.at] {
			return false
		}
	}
	return r.clientID == want.text && (want.least == nil || r.compare(want.least) >= 0) && json.Valid([]byte(answer))
}

// escaped returns an id as it is quoted in a reason.
func escaped(id string) string {
	if id = strconv.Quote(id); len(id) > 66 {
		id = id[:65] + `"`
	}
	return id[1 : len(id)-1]
}

func validDiff(diff string) bool {
	if len(diff) < len("+0.000000000") || diff[0] != '+' && diff[0] != '-' {
		return false
	}
	_, err := strconv.ParseFloat(diff[1:], 64)
	return err == nil && diff[len(diff)-10] == '.'
}

const help = "Available commands:\n> IAMAT [client_id] [client_position] [client_time]\n" +
	"> WHATSAT [client_id] [radius] [bound]\n> help\n> quit\n\n"

// invalidLines are lines that change nothing, with the reason in the reply; "" for an unknown command.
var invalidLines = []struct{ line, reason string }{
	{"IAMAT a +1+1 nan", "IAMAT TIME: nan is not a POSIX time"},
	{"IAMAT client0 +1+1 NaN", "IAMAT TIME: NaN is not a POSIX time"},
	{"IAMAT a +1+1 inf", "IAMAT TIME: inf is not a POSIX time"},
	{"IAMAT a +1+1 1e9", "IAMAT TIME: 1e9 is not a POSIX time"},
	{"IAMAT a +1+1 -5", "IAMAT TIME: -5 is not a POSIX time"},
	{"IAMAT a +1+1 5.", "IAMAT TIME: 5. is not a POSIX time"},
	{"IAMAT a +nan+1 5", "IAMAT POSITION: +nan+1 is not a position in ISO 6709 decimal degrees"},
	{"IAMAT a +91+1 5", "IAMAT POSITION: +91+1 has a latitude above 90"},
	{"IAMAT a +1+1", "IAMAT FIELDS: 3 instead of 4"},
	{"IAMAT a +1+1 5 6", "IAMAT FIELDS: 5 instead of 4"},
	{"WHATSAT client0 51 2", "WHATSAT RADIUS: 51 is not an integer from 0 to 50"},
	{"WHATSAT client0 1 21", "WHATSAT BOUND: 21 is not an integer from 0 to 20"},
	{"help", "help"},
	{"", ""},
	{" \t ", ""},
	{"iamat a +1+1 5", ""},
	{"AT Alford +0.1 client0 +1+1 9000000000 Ball", ""},
	{"MARK 1 1 - 0 0000000000000000", ""},
	{"ACK 5", ""},
	{"PING 1", ""},
	{"REFUSE proof", ""},
	{"\xff\x00\x1b[31m", ""},
}

// fakePlaces is a provider that returns one place, or fails.
type fakePlaces struct{}

var errPlaces = errors.New("the upstream is out of order")

// Nearby implements places.Provider. It fails in the southern hemisphere.
func (fakePlaces) Nearby(_ context.Context, q places.Query) (places.Result, error) {
	if q.Lat < 0 {
		return places.Result{}, errPlaces
	}
	return places.Result{Results: []json.RawMessage{[]byte(`{"name":"here"}`)},
		After: []places.Field{{Name: "status", Value: []byte(`"OK"`)}}, Status: "OK"}, nil
}
