package live

import (
	"net/http/httptest"
	"testing"
	"time"
)

// timed is an answer of which the last deadline of writing is known.
type timed struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

// SetWriteDeadline implements what http.ResponseController looks for.
func (t *timed) SetWriteDeadline(at time.Time) error {
	t.deadline = at
	return nil
}

func TestFirstLineMayBeLate(t *testing.T) {
	answer := &timed{ResponseRecorder: httptest.NewRecorder()}
	newSink(answer)
	if left := time.Until(answer.deadline); left < MaxFollow {
		t.Errorf("the first line is waited for for %s, and logs are followed for %s", left, MaxFollow)
	}
}
