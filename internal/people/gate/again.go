package gate

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// askAgain is the time between two looks at whether the caller of a request that lasts
// may still make it.
const askAgain = 5 * time.Second

var errNotAnyMore = errors.New("the caller may not do this any more")

// while returns a context for a request that ends when the caller may not make it any
// more, such as one who follows logs and whose token was removed. The request calls
// done at its end.
func (g *Gate) while(ctx context.Context, c Caller, need Need, clusters []string) (_ context.Context, done func()) {
	every := cmp.Or(g.again, askAgain)
	ctx, cancel := context.WithCancelCause(ctx)
	var mu sync.Mutex // for the timer is set when what it does is known
	var timer *time.Timer
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(every, func() {
		mu.Lock()
		defer mu.Unlock()
		if !g.may(c, need, clusters) {
			cancel(errNotAnyMore)
		} else if ctx.Err() == nil {
			timer.Reset(every)
		}
	})
	return ctx, func() {
		cancel(nil)
		timer.Stop()
	}
}

// may reports whether a caller of before has what a request needs now.
func (g *Gate) may(c Caller, need Need, clusters []string) bool {
	person, ok := g.People.ByToken(c.secret)
	if !ok {
		return false
	}
	c.Person, c.Rights = person, g.Policy().Of(person.Groups)
	for _, cluster := range clusters {
		if g.lacks(c, need, cluster) != "" {
			return false
		}
	}
	return true
}
