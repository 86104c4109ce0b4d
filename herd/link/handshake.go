package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"serverherd/protocol"
)

// Self is the identity of this process.
type Self struct {
	Herd, Name string
	Epoch      protocol.Epoch
	Secrets    []string // the first signs; any of them is accepted
}

// AppendHello appends the first line of a handshake with the server called to.
func (me *Self) AppendHello(dst []byte, to string, nonce protocol.Nonce) []byte {
	return protocol.AppendHello(dst, protocol.Hello{
		Version: []byte(protocol.Version), Herd: []byte(me.Herd),
		From: []byte(me.Name), To: []byte(to), Epoch: me.Epoch, Nonce: nonce,
	})
}

// The labels prevent a proof of one direction from being replayed as the other's.
const (
	dialerLabel   = "herd/1 dialler"
	acceptorLabel = "herd/1 acceptor"
)

// noProof is the proof if there is no secret.
const noProof = "-"

// Transcript is what was sent so far in a handshake, the same at both ends: its lines without CRLF, each
// followed by LF. A proof covers all of it, so it covers both nonces, both names and both epochs.
type Transcript []byte

// Add appends a line, without CRLF.
func (tr *Transcript) Add(line []byte) {
	*tr = append(append(*tr, line...), '\n')
}

// SignProof returns the MAC of PROOF, made with the secret at index, modulo their number.
func (tr Transcript) SignProof(secrets []string, index int) []byte {
	return tr.sign(secrets, index, dialerLabel, "PROOF")
}

// CheckProof returns the index of the secret that the MAC of a PROOF was made with; false if none matches.
func (tr Transcript) CheckProof(secrets []string, mac []byte) (index int, ok bool) {
	return tr.check(secrets, dialerLabel, "PROOF", mac)
}

// SignWelcome returns the MAC of w, made with the secret at index, modulo their number.
func (tr Transcript) SignWelcome(secrets []string, index int, w protocol.Welcome) []byte {
	return tr.sign(secrets, index, acceptorLabel, w.Unsigned())
}

// CheckWelcome reports whether the MAC of w was made with one of the secrets.
func (tr Transcript) CheckWelcome(secrets []string, w protocol.Welcome) bool {
	_, ok := tr.check(secrets, acceptorLabel, w.Unsigned(), w.MAC)
	return ok
}

// proof returns the HMAC-SHA256 in hex of label, LF, the transcript and the line without its MAC, under one
// secret.
func (tr Transcript) proof(secret, label, line string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(label))
	h.Write([]byte{'\n'})
	h.Write(tr)
	h.Write([]byte(line))
	return hex.AppendEncode(nil, h.Sum(nil))
}

// sign returns noProof if there is no secret.
func (tr Transcript) sign(secrets []string, index int, label, line string) []byte {
	if len(secrets) == 0 {
		return []byte(noProof)
	}
	return tr.proof(secrets[index%len(secrets)], label, line)
}

// check accepts noProof only if there is no secret. The comparison is in constant time.
func (tr Transcript) check(secrets []string, label, line string, mac []byte) (index int, ok bool) {
	if len(secrets) == 0 {
		return 0, string(mac) == noProof
	}
	for i, secret := range secrets {
		if hmac.Equal(tr.proof(secret, label, line), mac) {
			return i, true
		}
	}
	return 0, false
}
