package served

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/apply"
)

// cluster is one of which a test says what happens.
type cluster struct {
	events  chan apply.Event
	refuses bool // to let definitions be watched
	watches int
	answers []string // versions, one a question; "" is no answer
	asked   int
}

func (c *cluster) Watch(ctx context.Context, _ schema.GroupKind, _ bool, event func(apply.Event)) error {
	if c.watches++; c.refuses {
		return errors.New("forbidden")
	}
	for {
		select {
		case e := <-c.events:
			event(e)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *cluster) Facts(context.Context) (app.Facts, error) {
	answer := c.answers[min(c.asked, len(c.answers)-1)]
	if c.asked++; answer == "" {
		return app.Facts{}, errors.New("no answer")
	}
	return app.Facts{KubernetesVersion: answer}, nil
}

func TestFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := &cluster{events: make(chan apply.Event), answers: []string{"v1", "", "", "v2"}}
		f := New()
		go f.Run(ctx, c)

		c.events <- apply.Event{Type: apply.Interrupted}
		<-time.After(time.Hour)
		if c.asked > 0 {
			t.Error("an interruption is no change, and yet the cluster was asked")
		}
		began := time.Now()
		for range 3 { // definitions come in groups
			c.events <- apply.Event{Type: apply.Added}
		}
		if facts := <-f.Facts(); facts.KubernetesVersion != "v1" || time.Since(began) != settle {
			t.Errorf("%v after %v, want v1 once it has settled", facts, time.Since(began))
		}
		synctest.Wait()
		began = time.Now() // of the group, one is left
		if facts := <-f.Facts(); facts.KubernetesVersion != "v2" || time.Since(began) != settle+2*unanswered {
			t.Errorf("%v after %v, want v2 once it answers", facts, time.Since(began))
		}
		<-time.After(time.Hour)
		if c.asked != 4 {
			t.Errorf("asked %d times, want 4: nothing changes", c.asked)
		}
	})
}

func TestFollowerThatMayNotWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := &cluster{refuses: true}
		done := make(chan struct{})
		go func() { New().Run(ctx, c); close(done) }()
		<-time.After(10*refused + refused/2)
		cancel()
		<-done
		if c.watches != 11 || c.asked != 0 {
			t.Errorf("%d watches, %d questions, want one watch a minute", c.watches, c.asked)
		}
	})
}
