package gitsource

import "testing"

// Another host key than the known one is told in a line, not in ssh's frame.
func TestHostKeyThatChanged(t *testing.T) {
	e := &gitError{command: "ls-remote", said: "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\nIT IS POSSIBLE\n" +
		"The fingerprint for the ED25519 key sent by the remote host is\nSHA256:8pnvT2mV/HfGe3.\nOffending key in /k:1\nHost key verification failed.\n"}
	const want = "git ls-remote: the server shows the host key SHA256:8pnvT2mV/HfGe3, and known_hosts has another one for it"
	if e.Error() != want {
		t.Errorf("have %q, want %q", e, want)
	}
}
