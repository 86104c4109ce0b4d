package link

import "testing"

// A proof of one direction is none of the other.
func TestProofsHaveADirection(t *testing.T) {
	var said Transcript
	said.Add([]byte("HELLO"))
	mac := said.sign([]string{"one"}, 0, acceptorLabel, "PROOF")
	if _, ok := said.check([]string{"one"}, acceptorLabel, "PROOF", mac); !ok {
		t.Error("a proof is wrong")
	}
	if _, ok := said.CheckProof([]string{"one"}, mac); ok {
		t.Error("the acceptor's proof is good for the dialer's")
	}
}
