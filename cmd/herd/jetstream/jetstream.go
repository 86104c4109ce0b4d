// Package jetstream is a herd.Bucket and a herd.Asker in NATS JetStream.
//
// # The bucket
//
// The records are in one or more key-value buckets, which any NATS client can read and watch. An example entry, of the
// client "kiwi" in the bucket "herd":
//
//	subject   $KV.herd.a2l3aQ
//	header    Herd-Via: ucla/Alford/5f1d3c0a9b7e2468
//	value     AT Alford +0.263873386 kiwi +34.068930-118.445127 1479413884.392014450
//
// The key is the client id in base64url without padding, as an id may have any bytes. Herd-Via names the herd, the
// server and the session that put the entry. With several partitions the buckets are herd-0, herd-1 and so on, and
// xxhash(client) mod partitions is a client's. The number of partitions of an existing bucket cannot be changed: an
// entry in the wrong one is not valid.
//
// The key meta.<herd> of the first bucket has the names of a herd's servers. Two herds with a server name in common
// cannot use one bucket, because a record's origin would be ambiguous. Two herds with the same name cannot be told from
// one whose herd.toml was changed: the one that came last has its names there.
//
// README.md says what is promised, and which permissions the user of a bridge needs.
package jetstream

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"

	"serverherd/herd"
	"serverherd/herd/config"
)

// Options describe a Bucket. All are required.
type Options struct {
	Config config.JetStream
	Herd   string   // its name
	Server string   // the name of this server
	Names  []string // of all servers of the herd
	// Reactor is the server's. Its CallFromThread may be called after it has stopped.
	Reactor interface{ CallFromThread(f func()) }
	Log     *zap.Logger
}

// Bucket implements herd.Bucket and herd.Asker. Its methods are called on the loop, but for Close.
type Bucket struct {
	o      Options
	urls   string
	redact *strings.Replacer // hides the passwords in the URLs
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup // for sessions and the asker
	asker  *asker         // nil: not mode ask

	mu         sync.Mutex
	notWritten string // why the names of the herd's servers were not written, if that was logged
}

// New returns the Bucket that o describes. It does not block: connections are made in the background, by Open and, in
// mode ask, at once.
func New(o Options) (*Bucket, error) {
	b := &Bucket{o: o}
	var err error
	if b.urls, b.redact, err = parseURLs(o.Config.URL); err != nil {
		return nil, err
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if o.Config.Mode == "ask" {
		b.asker = newAsker(b)
		b.wait.Go(b.asker.run)
	}
	return b, nil
}

// Close ends what New and Open have begun, and waits for that. It must not be called on the loop or while the loop may
// call Open.
func (b *Bucket) Close() {
	b.cancel()
	b.wait.Wait()
}

// Via is the header of an entry that says who put it.
const Via = "Herd-Via"

// metaKey begins the keys of what is no client's entry. A period is not in base64url.
const metaKey = "meta."

// keys is the encoding of client ids. It is strict: otherwise several keys would name one client.
var keys = base64.RawURLEncoding.Strict()

// partition returns the number of the partition of a client.
//
// #nosec G115 -- a remainder is less than the number of partitions, an int from 1 on
func (b *Bucket) partition(client []byte) int {
	return int(xxhash.Sum64(client) % uint64(b.partitions()))
}

func (b *Bucket) partitions() int { return max(b.o.Config.Partitions, 1) }

// bucketName returns the name of the bucket of a partition.
func (b *Bucket) bucketName(partition int) string {
	if b.partitions() == 1 {
		return b.o.Config.Bucket
	}
	return b.o.Config.Bucket + "-" + strconv.Itoa(partition)
}

// streamOf is the stream of a bucket, and prefix what the subjects of its entries begin with.
func streamOf(bucket string) string { return "KV_" + bucket }
func prefix(bucket string) string   { return "$KV." + bucket + "." }

// deleted reports whether an entry says that its key was deleted: by a KV client, or by the server as it was too old.
func deleted(header map[string][]string) bool {
	return header["KV-Operation"] != nil || header["Nats-Marker-Reason"] != nil
}

// Open implements herd.Bucket.
func (b *Bucket) Open(r herd.BucketReader) herd.BucketSession {
	s := newSession(b, r)
	b.wait.Go(s.run)
	return s
}
