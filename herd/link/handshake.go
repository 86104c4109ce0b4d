package link

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"serverherd/protocol"
)

// Self is this process, as its neighbors are told.
type Self struct {
	Herd, Name string
	Epoch      protocol.Epoch
	Secrets    []string // the first signs; any of them is accepted
}

// AppendHello appends the first line of a handshake with the server called to.
func (self *Self) AppendHello(dst []byte, to string, nonce protocol.Nonce) []byte {
	return protocol.AppendHello(dst, protocol.Hello{
		Version: []byte(protocol.Version), Herd: []byte(self.Herd),
		From: []byte(self.Name), To: []byte(to), Epoch: self.Epoch, Nonce: nonce,
	})
}

// The labels keep one direction's proof from being played back as the other's.
const (
	dialerLabel   = "herd/1 dialler"
	acceptorLabel = "herd/1 acceptor"
)

// noProof stands for a proof where neither side has a secret.
const noProof = "-"

// Transcript is what both ends of a handshake have seen so far: its lines without CRLF, each
// followed by LF. A proof covers all of it, and so both nonces, both names and both epochs.
type Transcript []byte

// Add notes a line, without CRLF.
func (tr *Transcript) Add(line []byte) {
	*tr = append(append(*tr, line...), '\n')
}

// SignProof is the mac of PROOF under the secret numbered which.
func (tr Transcript) SignProof(secrets []string, which int) []byte {
	return tr.sign(secrets, which, dialerLabel, "PROOF")
}

// CheckProof says with which of the secrets the mac of a PROOF was made; false if with none.
func (tr Transcript) CheckProof(secrets []string, mac []byte) (which int, ok bool) {
	return tr.check(secrets, dialerLabel, "PROOF", mac)
}

// SignWelcome is the mac of w under the secret numbered which.
func (tr Transcript) SignWelcome(secrets []string, which int, w protocol.Welcome) []byte {
	return tr.sign(secrets, which, acceptorLabel, w.Unsigned())
}

// CheckWelcome says whether the mac of w was made with one of the secrets.
func (tr Transcript) CheckWelcome(secrets []string, w protocol.Welcome) bool {
	_, ok := tr.check(secrets, acceptorLabel, w.Unsigned(), w.MAC)
	return ok
}

// proof is the hex HMAC-SHA256, under one secret, of label, LF, the transcript and the line that
// carries the proof without it.
func (tr Transcript) proof(secret, label, line string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(label))
	h.Write([]byte{'\n'})
	h.Write(tr)
	h.Write([]byte(line))
	return hex.AppendEncode(nil, h.Sum(nil))
}

// sign is noProof where there is no secret.
func (tr Transcript) sign(secrets []string, which int, label, line string) []byte {
	if len(secrets) == 0 {
		return []byte(noProof)
	}
	return tr.proof(secrets[which%len(secrets)], label, line)
}

// check takes noProof for right only where there is no secret. The comparison takes the same time
// wherever the two differ.
func (tr Transcript) check(secrets []string, label, line string, mac []byte) (which int, ok bool) {
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
