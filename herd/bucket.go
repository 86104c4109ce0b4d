package herd

import (
	"fmt"
	"time"

	"serverherd/protocol"
)

// Bucket keeps the newest record of each client for several herds, as a bucket of an engine such as NATS JetStream
// does. It keeps the record that was put last, which need not be the greatest: see bridge.
type Bucket interface {
	// Open begins a session, off the loop: it connects and reads all entries, and then each change. It is called on
	// the loop, when there is no other session. Results are passed to r, on the loop, after Open has returned.
	Open(r BucketReader) BucketSession
}

// BucketMode says what a server does with the records of other herds in a Bucket. In each mode it publishes its own herd's
// records, reads the whole bucket and applies what it lacks of its own herd's.
type BucketMode uint8

const (
	// BucketPublish leaves other herds' records in the bucket. One that is greater than this server's record of the
	// client is not replaced.
	BucketPublish BucketMode = iota
	// BucketShare applies them, as those of a neighbor: the herds have the same records.
	BucketShare
	// BucketAsk leaves them there, as BucketPublish does. A WHATSAT asks for one when it needs it.
	BucketAsk
)

var bucketModes = [...]string{BucketPublish: "publish", BucketShare: "share", BucketAsk: "ask"}

// ParseBucketMode returns the mode with a name, publish, share or ask.
func ParseBucketMode(name string) (BucketMode, error) {
	for m, n := range bucketModes {
		if n == name {
			return BucketMode(m), nil
		}
	}
	return 0, fmt.Errorf("unknown mode %q, expected one of: publish, share, ask", name)
}

// String returns the mode's name.
func (m BucketMode) String() string { return bucketModes[m] }

// BucketSession is one connection to a Bucket. The Bucket ends it with Ended when the connection is lost, when it
// does not make progress for a while, and when entries may have been lost: the bucket was deleted and created again,
// or a revision is not greater than an earlier one. The methods are called on the loop, and not after Ended.
type BucketSession interface {
	// Publish puts records, in any order, and then calls done on the loop with a result for each. It may be called
	// before the first entries are passed, and not again before done. The records' bytes do not change until done; once
	// the session has ended, they never do.
	Publish(puts []BucketPut, done func(results []BucketResult))
	// Next asks for the next batch of entries. It is called once for each batch, when that is applied.
	Next()
	// Close ends the session, without a call of Ended. Afterwards neither the reader nor done is called.
	Close()
}

// Asker reads single entries of a Bucket, for a server that does not keep the records of other herds. Several calls may
// be in progress.
type Asker interface {
	// Ask reads the entry of a client, off the loop, and calls done once, on the loop, after Ask has returned: with the
	// entry's value, which is empty if there is none, or with an error. That is at most about timeout later. client does
	// not change, value is valid during the call only.
	Ask(client []byte, timeout time.Duration, done func(value []byte, err error))
}

// BucketReader is told what happens in a BucketSession.
type BucketReader interface {
	// Entries passes a batch of at most BucketBatch entries. Entries of one client are in the order of their revisions,
	// and may be repeated from any revision on; an entry that a later one has replaced may be missing. complete: all
	// that was in the bucket when the session began has been passed.
	Entries(entries []BucketEntry, complete bool)
	// Ended reports that the session is over. The result of a Publish in progress is unknown.
	Ended(err error)
}

// BucketEntry is an entry of a Bucket. Its bytes are valid during the call only.
type BucketEntry struct {
	Client   []byte // that the entry's key names
	Value    []byte // an AT line as clients are sent it; empty: the entry was deleted
	Revision uint64 // its position in the bucket
	Own      bool   // it was put in this session
}

// BucketPut is a record to put.
type BucketPut struct {
	Record protocol.Record
	// Revision is that of the entry to replace: if there is a later one of this client, the result is BucketConflict.
	// 0: whatever there is, is replaced.
	Revision uint64
}

// BucketResult is the result of a BucketPut.
type BucketResult uint8

// The results of a BucketPut.
const (
	BucketStored   BucketResult = iota
	BucketRefused               // there is no room, or the bucket is read-only
	BucketConflict              // see BucketPut.Revision
)

// BucketBatch is the maximum number of entries in a batch.
const BucketBatch = 256

// BridgeStatus is the state of a server's bridge to a Bucket.
type BridgeStatus struct {
	Mode string `json:"mode"` // publish, share or ask, see BucketMode
	// Restored: all entries were read at least once since the server started. A server that starts without records is
	// not ready before that, or for 10 seconds, unless a neighbor has records.
	Restored bool `json:"restored"`
	// State is down: there is no session; reading: it connects or reads the bucket's entries, and nothing is published;
	// publishing: the bucket lacks records that were stored before that, or it was down less than 10 seconds ago; or live:
	// what is new is published, also while a later pass reads.
	State string `json:"state"`
	Error string `json:"error,omitempty"` // why it is down, or was until 10 seconds ago; or why records were refused
	// Behind is an upper bound on the records that were not published: all of them while State is down or reading.
	Behind   uint64 `json:"behind"`
	Sessions uint64 `json:"sessions"` // begun
	// Published counts records put. Refused and Conflicts count those that the bucket did not take: it had no room, or
	// a later entry than the one to replace.
	Published uint64 `json:"published"`
	Refused   uint64 `json:"refused"`
	Conflicts uint64 `json:"conflicts"`
	Cures     uint64 `json:"cures"` // of those, how many were to replace an entry older than this server's record
	Shown     int    `json:"shown"` // records that it will not publish because the bucket has them; some were replaced since
	// Read counts entries read, Applied those that were new here. Foreign were other herds' and not applied because of
	// Mode. Future were further ahead of this server's clock than max_future. Invalid were no records of their client, or
	// further ahead than that and another hour.
	Read    uint64 `json:"read"`
	Applied uint64 `json:"applied"`
	Foreign uint64 `json:"foreign"`
	Invalid uint64 `json:"invalid"`
	Future  uint64 `json:"future"`
}

// The values of BridgeStatus.State.
const (
	BridgeDown       = "down"
	BridgeReading    = "reading"
	BridgePublishing = "publishing"
	BridgeLive       = "live"
)

// AskStatus is about the WHATSATs for which the bucket is asked. An ask is one read of a client's entry.
type AskStatus struct {
	OK       bool   `json:"ok"`              // no ask has failed, or asks have succeeded again for ask_quiet
	Error    string `json:"error,omitempty"` // of the last one that failed, unless OK
	Open     int    `json:"open"`            // WHATSATs that wait for the bucket
	InFlight int    `json:"in_flight"`       // asks in progress, at most ask_in_flight
	// Sent counts asks that were begun. Each has one of the following results. Found: a record greater than this server's,
	// or the first one. Older: a record that is not greater. None: there is no record. Invalid: the entry is no record of
	// its client, or is further ahead of this server's clock than max_future. Failed: there was no answer in time, or the
	// bucket could not be reached.
	Sent    uint64 `json:"sent"`
	Found   uint64 `json:"found"`
	Older   uint64 `json:"older"`
	None    uint64 `json:"none"`
	Invalid uint64 `json:"invalid"`
	Failed  uint64 `json:"failed"`
	// Shared counts WHATSATs that waited for the ask of another one, and Cached those that were given the result of an ask
	// less than ask_kept ago.
	Shared uint64 `json:"shared"`
	Cached uint64 `json:"cached"`
	// Busy counts WHATSATs whose ask was given up because its turn did not come within ask_timeout. Those without a record
	// here got BUSY.
	Busy uint64 `json:"busy"`
}

// BridgeStates are the values of BridgeStatus.State.
var BridgeStates = []string{BridgeDown, BridgeReading, BridgePublishing, BridgeLive}
