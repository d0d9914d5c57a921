package people

import (
	"fmt"
	"testing"
	"time"
)

// TestLimitsWhenFull has those who are known already go on while strangers have to wait.
func TestLimitsWhenFull(t *testing.T) {
	now, l := time.Now(), newLimits()
	l.failed("ana", "192.0.2.1", now)
	for i := 0; len(l.keys)+2 <= maxKeys; i++ {
		l.failed(fmt.Sprint("user-", i), fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff), now)
	}
	if !l.may("ana", "192.0.2.1", now) {
		t.Error("one who is known has to wait")
	}
	if l.may("bob", "192.0.2.2", now) {
		t.Error("a stranger need not wait")
	}
	if later := now.Add(24 * time.Hour); !l.may("bob", "192.0.2.2", later) {
		t.Error("a stranger has to wait when the failures of others are long ago")
	}
}
