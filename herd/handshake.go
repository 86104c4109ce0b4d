package herd

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"

	"serverherd/protocol"
)

// The labels keep one direction's proof from being played back as the other's.
const (
	dialerLabel   = "herd/1 dialler"
	acceptorLabel = "herd/1 acceptor"
)

// noProof stands for a proof where neither side has a secret.
const noProof = "-"

// transcript is what both ends of a handshake have seen so far: its lines without CRLF, each
// followed by LF. A proof covers all of it, and so both nonces, both names and both epochs.
type transcript []byte

func (t *transcript) add(line []byte) {
	*t = append(append(*t, line...), '\n')
}

// proof is the hex HMAC-SHA256, under one secret, of label, LF, the transcript and the line that
// carries the proof without it.
func (t transcript) proof(secret, label, line string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(label))
	h.Write([]byte{'\n'})
	h.Write(t)
	h.Write([]byte(line))
	return hex.EncodeToString(h.Sum(nil))
}

// sign is the proof under the secret numbered which, or noProof where there is no secret.
func (t transcript) sign(secrets []string, which int, label, line string) string {
	if len(secrets) == 0 {
		return noProof
	}
	return t.proof(secrets[which%len(secrets)], label, line)
}

// check says which of the secrets mac was made with; false if none. With secrets configured
// noProof is wrong, without any it is the only right one. The comparison takes the same time
// wherever the two differ.
func (t transcript) check(secrets []string, label, line string, mac []byte) (which int, ok bool) {
	if len(secrets) == 0 {
		return 0, string(mac) == noProof
	}
	for i, secret := range secrets {
		if hmac.Equal([]byte(t.proof(secret, label, line)), mac) {
			return i, true
		}
	}
	return 0, false
}

// newNonce and newEpoch draw from a generator that the command seeds with the system's entropy
// and whose outputs cannot be foretold from one another.
func newNonce(r *rand.Rand) (n protocol.Nonce) {
	for i := 0; i < len(n); i += 8 {
		v := r.Uint64()
		for j := range 8 {
			n[i+j] = byte(v >> (8 * j))
		}
	}
	return n
}

// newEpoch is never 0, which stands for no process.
func newEpoch(r *rand.Rand) protocol.Epoch {
	for {
		if e := protocol.Epoch(r.Uint64()); e != 0 {
			return e
		}
	}
}
