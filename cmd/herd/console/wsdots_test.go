package console

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"serverherd/herd"
	"serverherd/protocol"
)

// move makes clients move, each once.
func (p *paged) move(second int, clients ...string) {
	p.loop.Lock()
	defer p.loop.Unlock()
	p.loop.srv.Store().SetTime(time.Now())
	for _, id := range clients {
		apply(p.t, p.loop.srv, id, second)
	}
}

func (s socket) ask(format string, args ...any) {
	s.t.Helper()
	if err := s.Write(s.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Fatal(err)
	}
}

func (s socket) askClient(id string) {
	s.ask(`{"type":"client","id_b64":%q}`, base64.StdEncoding.EncodeToString([]byte(id)))
}

// got is a message: its type, "binary" for that.
type got struct {
	kind string
	data []byte
}

// message is the next message that is neither about servers nor a sign of life.
func (s socket) message() (m got, err error) {
	for {
		how, text, err := s.Read(s.t.Context())
		if err != nil {
			return got{}, err
		}
		if how == websocket.MessageBinary {
			return got{"binary", text}, nil
		}
		var head struct{ Type string }
		if err := json.Unmarshal(text, &head); err != nil {
			return got{}, err
		}
		if head.Type != "herd" && head.Type != "idle" {
			return got{head.Type, text}, nil
		}
	}
}

// about reads the next message, which must be of a type, into m.
func (s socket) about(kind string, m any) {
	s.t.Helper()
	g, err := s.message()
	if err != nil || g.kind != kind {
		s.t.Fatalf("%s %.200s, want %s: %v", g.kind, g.data, kind, err)
	}
	d := json.NewDecoder(strings.NewReader(string(g.data)))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		s.t.Fatalf("%s: %v", g.data, err)
	}
}

// seconds reads the next message, which must be dots, into a map from slots to the seconds of the clients' times.
func (s socket) seconds(into map[uint32]int) (generation uint32) {
	s.t.Helper()
	g, err := s.message()
	if err != nil || g.kind != "binary" {
		s.t.Fatalf("%s %.200s, want dots: %v", g.kind, g.data, err)
	}
	for b := g.data[8:]; len(b) > 0; b = b[16:] {
		age := int64(binary.LittleEndian.Uint32(b[12:]))
		into[binary.LittleEndian.Uint32(b)] = int((time.Now().UnixMilli()/100 - age) / 10)
		if lat, lng := int32(binary.LittleEndian.Uint32(b[4:])), int32(binary.LittleEndian.Uint32(b[8:])); lat != 340_689_300 || lng != -1_184_451_270 {
			s.t.Errorf("%d, %d", lat, lng)
		}
	}
	return binary.LittleEndian.Uint32(g.data[4:])
}

const wsTime = 900_000_000 // of clients; in a bubble it is 2000

// The positions of all clients, their changes, and who they are.
func TestWSDots(t *testing.T) {
	inPageBubbleOf(t, 10, func(p *paged) {
		p.move(wsTime+1, "kiwi", "tui")
		s := p.open()
		s.ask(`{"type":"name","generation":1,"slot":0}`) // gets no answer
		s.ask(`{"type":"dots","on":true}`)
		var begin, done LiveDots
		s.about("dots", &begin)
		dots := make(map[uint32]int)
		generation := s.seconds(dots)
		s.about("dots-done", &done)
		if want := (LiveDots{"dots", generation, 2, 2, 1}); begin != want || done != (LiveDots{"dots-done", generation, 2, 0, 0}) {
			t.Errorf("%+v, %+v, want %+v", begin, done, want)
		}
		if want := map[uint32]int{0: wsTime + 1, 1: wsTime + 1}; !reflect.DeepEqual(dots, want) {
			t.Errorf("%v, want %v", dots, want)
		}
		begun := time.Now()
		p.move(wsTime+2, "tui", "kea")
		clear(dots)
		if s.seconds(dots); time.Since(begun) > herd.FollowPause+herd.DotsPause {
			t.Errorf("after %v", time.Since(begun))
		}
		if want := map[uint32]int{1: wsTime + 2, 2: wsTime + 2}; !reflect.DeepEqual(dots, want) {
			t.Errorf("%v, want %v", dots, want)
		}
		s.ask(`{"type":"dots","on":true}`) // it is: nothing begins again
		s.ask(`{"type":"name","generation":%d,"slot":3}`, generation)
		s.ask(`{"type":"name","generation":%d,"slot":1}`, generation+1)
		for slot, want := range []string{"kiwi", "tui", "kea"} {
			var n LiveName
			s.ask(`{"type":"name","generation":%d,"slot":%d}`, generation, slot)
			if s.about("name", &n); n.ID != want || string(n.Base64) != want || n.Generation != generation || n.Slot != uint32(slot) {
				t.Errorf("%+v, want %s", n, want)
			}
		}
		p.move(wsTime+2+1, "kea")
		p.move(wsTime+2+2, "tui")
		clear(dots)
		if s.seconds(dots); dots[1] != wsTime+4 || dots[2] != wsTime+3 {
			t.Errorf("%v", dots)
		}
		s.ask(`{"type":"dots","on":false}`)
		s.ask(`{"type":"name","generation":%d,"slot":0}`, generation) // no answer any more
		time.Sleep(time.Second)
		p.move(wsTime+10, "tui")
		s.ask(`{"type":"dots","on":true}`)
		if s.about("dots", &begin); begin.Generation == generation || begin.Clients != 3 {
			t.Errorf("%+v", begin)
		}
		s.CloseNow()
	})
}

// A client is there now and when it changes; one that is not there may come.
func TestWSClient(t *testing.T) {
	inPageBubbleOf(t, 10, func(p *paged) {
		p.move(wsTime, "kiwi")
		s := p.open()
		s.ask(`{"type":"client"}`) // there was none
		check := func(id string, second int) {
			t.Helper()
			var c LiveClient
			s.about("client", &c)
			if c.ID != id || string(c.Base64) != id || c.Server != "Alford" || time.Since(c.Now) > time.Second {
				t.Errorf("%+v", c)
			}
			if second == 0 {
				if c.Known || c.Record != nil || c.Age != nil || c.AT != "" {
					t.Errorf("%+v", c)
				}
				return
			}
			if !c.Known || c.Time != fmt.Sprintf("%d.918963997", second) || c.Lat != 34.06893 || c.Origin != "Alford" || c.Seq == 0 ||
				c.AT != fmt.Sprintf("AT Alford +0.263873386 %s +34.068930-118.445127 %d.918963997", id, second) ||
				*c.Age < time.Since(time.Unix(int64(second)+1, 0)).Seconds()-1 || *c.Age > time.Since(time.Unix(int64(second), 0)).Seconds() {
				t.Errorf("%+v %+v", c, c.Record)
			}
		}
		s.askClient("kiwi")
		check("kiwi", wsTime)
		begun := time.Now()
		p.move(wsTime+1, "kiwi")
		if check("kiwi", wsTime+1); time.Since(begun) > 200*time.Millisecond {
			t.Errorf("after %v", time.Since(begun))
		}
		s.askClient("tui")
		check("tui", 0)
		p.move(wsTime+2, "kiwi", "tui")
		check("tui", wsTime+2)
		s.askClient("tui") // again
		check("tui", wsTime+2)
		// At most ten a second, the newest last.
		go func() {
			for i := range 5000 {
				p.move(wsTime+10+i, "tui")
				time.Sleep(time.Millisecond)
			}
		}()
		messages := 0
		for last := ""; last != fmt.Sprintf("%d.918963997", wsTime+5009); messages++ {
			var c LiveClient
			if s.about("client", &c); c.Time <= last {
				t.Errorf("%s after %s", c.Time, last)
			}
			last = c.Time
		}
		if messages < 40 || messages > 52 {
			t.Errorf("%d messages in 5 s", messages)
		}
		s.ask(`{"type":"client"}`)
		time.Sleep(time.Second)
		p.move(wsTime+100_000, "tui")
		s.askClient("kiwi")
		check("kiwi", wsTime+2)
		s.CloseNow()
	})
}

// Ids of any bytes.
func TestWSHostileIDs(t *testing.T) {
	inPageBubbleOf(t, len(hostile), func(p *paged) {
		s := p.open()
		for _, id := range hostile {
			s.askClient(id)
			var c LiveClient
			if s.about("client", &c); c.Known || string(c.Base64) != id || c.ID != protocol.Escape([]byte(id)) {
				t.Errorf("%.100q: %+v", id, c)
			}
			p.move(wsTime, id)
			c = LiveClient{}
			if s.about("client", &c); !c.Known || string(c.Base64) != id || c.ID != protocol.Escape([]byte(id)) || !strings.Contains(c.AT, c.ID) {
				t.Errorf("%.100q: %+v", id, c)
			}
		}
		s.ask(`{"type":"dots","on":true}`)
		var begin LiveDots
		s.about("dots", &begin)
		dots := make(map[uint32]int)
		s.seconds(dots)
		if s.about("dots-done", &LiveDots{}); len(dots) != len(hostile) {
			t.Errorf("%d dots", len(dots))
		}
		for slot, id := range hostile { // in the order of the feed
			s.ask(`{"type":"name","generation":%d,"slot":%d}`, begin.Generation, slot)
			var n LiveName
			if s.about("name", &n); string(n.Base64) != id || n.ID != protocol.Escape([]byte(id)) || n.Slot != uint32(slot) {
				t.Errorf("%.100q: %+v", id, n)
			}
		}
		s.CloseNow()
	})
}

// An invalid request ends the connection, and says why. See also viewer.TestParseRequest.
func TestWSInvalid(t *testing.T) {
	long := fmt.Sprintf(`{"type":"dots","on":true%s}`, strings.Repeat(" ", herd.PageRequest))
	for _, test := range []struct {
		clients int
		kind    websocket.MessageType
		text    string
		reason  string
	}{
		{10, websocket.MessageText, `{}`, "unknown type of request"},
		{10, websocket.MessageText, ``, "a request is a JSON object with known members of the right types"},
		{10, websocket.MessageText, `{"type":"dots"}`, "a request dots has other members, or other values"},
		{10, websocket.MessageBinary, `{"type":"dots","on":true}`, "a request is text"},
		{10, websocket.MessageText, long, "a request has at most 4096 bytes"},
		{0, websocket.MessageText, `{"type":"dots","on":true}`, "this console has no dots"},
		{0, websocket.MessageText, `{"type":"client"}`, "this console has no client"},
	} {
		inPageBubbleOf(t, test.clients, func(p *paged) {
			s := p.open()
			if test.clients > 0 {
				s.ask(`{"type":"dots","on":true}%s`, strings.Repeat(" ", herd.PageRequest-len(`{"type":"dots","on":true}`)))
				s.about("dots", &LiveDots{})
			}
			if err := s.Write(p.t.Context(), test.kind, []byte(test.text)); err != nil {
				t.Fatal(err)
			}
			for {
				_, _, err := s.Read(p.t.Context())
				if err == nil {
					continue
				}
				if websocket.CloseStatus(err) != websocket.StatusPolicyViolation || !strings.Contains(err.Error(), test.reason) {
					t.Errorf("%.50q: %v", test.text, err)
				}
				break
			}
		})
	}
}

// A page with dots that takes nothing is disconnected, and then nothing is done for it.
func TestWSDotsAreNotRead(t *testing.T) {
	inPageBubbleOf(t, 5000, func(p *paged) {
		var all []string
		for i := range 5000 {
			all = append(all, fmt.Sprint("c", i))
		}
		p.move(wsTime, all...)
		s := p.open()
		s.ask(`{"type":"dots","on":true}`)
		s.about("dots", &LiveDots{})
		begun := time.Now()
		ended := make(chan struct{})
		go func() {
			p.pages.open.Wait() // for nobody but this test: no page opens
			close(ended)
		}()
		for i := 1; ; i++ {
			select {
			case <-ended:
			case <-time.After(10 * time.Millisecond):
				p.move(wsTime+i, all[:100]...)
				continue
			}
			break
		}
		if waited := time.Since(begun); waited < herd.ConsoleStall || waited > herd.ConsoleStall+time.Second {
			t.Errorf("disconnected after %v", waited)
		}
		s.CloseNow()
	})
}

// Two hundred pages at once, while all clients are new and move. Each gets all of them.
func TestManyWSDots(t *testing.T) {
	inPageBubbleOf(t, 2000, func(p *paged) {
		const pages, clients = 200, 2000
		var group sync.WaitGroup
		for i := range pages {
			s := p.open()
			group.Go(func() {
				defer s.CloseNow()
				s.ask(`{"type":"dots","on":true}`)
				last := make(map[uint32]int)
				for frames := 0; ; frames++ {
					m, err := s.message()
					if err != nil {
						t.Errorf("page %d, after %d frames: %v", i, frames, err)
						return
					}
					if m.kind != "binary" {
						continue
					}
					end := 0
					for b := m.data[8:]; len(b) > 0; b = b[16:] {
						age := int64(binary.LittleEndian.Uint32(b[12:]))
						last[binary.LittleEndian.Uint32(b)] = int((time.Now().UnixMilli()/100-age)/10) - wsTime
					}
					for _, second := range last {
						if second == 1000 {
							end++
						}
					}
					if end == clients {
						return
					}
				}
			})
		}
		for second := 1; second <= 20; second++ {
			var some []string
			for i := range second * clients / 20 {
				some = append(some, fmt.Sprint("c", i))
			}
			if p.move(wsTime+second, some...); second == 20 {
				p.move(wsTime+1000, some...)
			}
			time.Sleep(50 * time.Millisecond)
		}
		group.Wait()
	})
}

// Many pages that load the map at once share a rate, so that they do not take all processors.
func TestDotsOfAllPagesTogether(t *testing.T) {
	const pages, clients = 100, 20_000
	inPageBubbleOf(t, clients, func(p *paged) {
		var all []string
		for i := range clients {
			all = append(all, fmt.Sprint("c", i))
		}
		p.move(wsTime, all...)
		var group sync.WaitGroup
		begun := time.Now()
		for range pages {
			s := p.open()
			group.Go(func() {
				defer s.CloseNow()
				s.ask(`{"type":"dots","on":true}`)
				for {
					if m, err := s.message(); err != nil {
						t.Error(err)
						return
					} else if m.kind == "dots-done" {
						return
					}
				}
			})
		}
		group.Wait()
		took := time.Since(begun).Seconds() // the last message of each page waits for nothing
		if least := float64(pages*(16*clients-herd.DotsMessage)-herd.DotsBurst) / herd.DotsRate; took < least || took > 2*least+1 {
			t.Errorf("%.2f s, at least %.2f", took, least)
		}
	})
}

// The server stops at any time.
func TestWSDotsEnd(t *testing.T) {
	for i := range 7 { // dots, client, three with dots, dots-done
		inPageBubbleOf(t, 10_000, func(p *paged) {
			for i := range 10_000 {
				p.move(wsTime, fmt.Sprint("c", i))
			}
			s := p.open()
			s.ask(`{"type":"dots","on":true}`)
			s.askClient("c1")
			for range i {
				if _, err := s.message(); err != nil {
					t.Fatal(err)
				}
			}
			going := make(chan websocket.StatusCode)
			go func() { going <- s.closes() }()
			if i%2 == 0 {
				p.follower.Close()
			}
			p.pages.Close()
			if code := <-going; code != websocket.StatusGoingAway {
				t.Error(code)
			}
		})
	}
}
