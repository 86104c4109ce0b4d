package load

import (
	"bytes"
	"fmt"
	"time"

	"serverherd/protocol"
	"serverherd/reactor"
)

// maxVisitors is the maximum number of open visitor connections. A visitor due above the limit is an error.
const maxVisitors = 1000

// visits starts all visitors that are due, even if it is called late, and schedules itself for the next.
func (w *worker) visits() {
	if w.ending {
		return
	}
	now := w.elapsed()
	for ; w.nextVisit <= now; w.nextVisit += w.churn {
		w.visit()
	}
	w.r.CallLater(w.nextVisit-now, w.visits)
}

// visit starts one visitor.
func (w *worker) visit() {
	// #nosec G115 -- a count of visitors stays far below 1<<63
	target := &w.options.Targets[int(w.now.counts.Came)%len(w.options.Targets)]
	if w.visitors == maxVisitors {
		what := fmt.Sprintf("%s: churn: %d connections are already open", target.Name, maxVisitors)
		w.now.counts.failed(what, 1)
		return
	}
	w.visitors++
	w.now.counts.Came++
	v := &visitor{w: w, target: target, started: w.elapsed()}
	w.connectTCP(target, v, func(took time.Duration) { v.started += took }) // the token's exchange does not count
}

// visitor is a short connection: it sends one request, reads the reply and closes. Used only on its
// worker's loop.
type visitor struct {
	w       *worker
	target  *Target
	t       reactor.Transport
	started time.Duration
	reply   []byte
	served  bool
}

// BuildProtocol implements reactor.Factory.
func (v *visitor) BuildProtocol(string) reactor.Protocol { return v }

// ConnectionFailed implements reactor.ClientFactory.
func (v *visitor) ConnectionFailed(reason error) {
	v.w.visitors--
	v.w.settle()
	if !v.w.ending {
		v.w.now.counts.failed(v.target.Name+": churn: connect: "+explained(reason).Error(), 1)
	}
}

// ConnectionMade implements reactor.Protocol.
func (v *visitor) ConnectionMade(t reactor.Transport) {
	v.t = t
	t.Write([]byte("WHATSAT nobody 1 1\n"))
}

// DataReceived implements reactor.Protocol.
func (v *visitor) DataReceived(p []byte) {
	if len(v.reply) <= maxReply {
		v.reply = append(v.reply, p...)
	}
	end := emptyLine
	if v.w.options.Dialect == protocol.CS131 {
		end = emptyLine[:1]
	}
	if !bytes.HasSuffix(v.reply, end) || v.served {
		return
	}
	v.served = true
	record(v.w.now.churn, v.w.elapsed()-v.started)
	if text := reason(v.reply); text != "> WHATSAT REQUEST" && text != "? WHATSAT" {
		v.w.now.counts.failed(v.target.Name+": "+text, 1)
	}
	v.t.LoseConnection()
}

// ConnectionLost implements reactor.Protocol.
func (v *visitor) ConnectionLost(reason error) {
	v.w.visitors--
	v.w.settle()
	if !v.served && !v.w.ending {
		v.w.now.counts.failed(v.target.Name+": churn: no reply: "+reason.Error(), 1)
	}
}
