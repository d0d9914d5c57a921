package rival

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

// event is one about an Application with a status.
func event(kind apply.EventType, namespace, name string, status map[string]any) apply.Event {
	return apply.Event{
		Type: kind, Kind: Kind,
		Tracked: apply.Tracked{ID: object.ID{Group: Kind.Group, Kind: Kind.Kind, Namespace: namespace, Name: name}},
		Object:  &unstructured.Unstructured{Object: map[string]any{"status": status}},
	}
}

func TestWhy(t *testing.T) {
	reconciled := map[string]any{"reconciledAt": "2026-01-01T00:00:00Z"}
	synced := map[string]any{"operationState": map[string]any{"phase": "Running"}}
	r := New("argocd")
	for _, step := range []struct {
		reason string
		event  apply.Event
		app    string
		want   string // contained; empty if nothing is in the way
	}{
		{"an Application that is kept is, before all are listed", event(apply.Added, "argocd", "shop", reconciled), "shop", "Application argocd/shop "},
		{"of others it is not known yet", event(apply.Added, "argocd", "new", nil), "new", "not known"},
		{"once all are listed it is", apply.Event{Type: apply.Listed}, "new", ""},
		{"one that a controller begins to keep", event(apply.Modified, "argocd", "new", synced), "new", "Application argocd/new "},
		{"another namespace is part of the name", event(apply.Added, "team", "web", reconciled), "team_web", "Application team/web "},
		{"and nobody else's app is in the way of it", event(apply.Modified, "team", "web", reconciled), "web", ""},
		{"a name that nobody keeps", event(apply.Modified, "team", "web", reconciled), "argocd_web", ""},
		{"an interruption changes nothing", apply.Event{Type: apply.Interrupted, Err: errors.New("away")}, "other", ""},
		{"nor of what is kept", apply.Event{Type: apply.Interrupted, Err: errors.New("away")}, "shop", "Application argocd/shop "},
		{"nor is one of the name elsewhere", event(apply.Added, "gitops", "shop", reconciled), "shop", "Application argocd/shop "},
		{"which keeps nothing of the name", event(apply.Deleted, "argocd", "shop", reconciled), "shop", ""},
		{"but its own", event(apply.Modified, "gitops", "shop", reconciled), "gitops_shop", "Application gitops/shop "},
		{"until it is kept no more", event(apply.Modified, "gitops", "shop", nil), "gitops_shop", ""},
	} {
		r.take(step.event)
		if have := r.Why(step.app); (have == "") != (step.want == "") || !strings.Contains(have, step.want) {
			t.Errorf("%s: %q, want %q", step.reason, have, step.want)
		}
	}
	select {
	case <-r.Changed():
	default:
		t.Error("nothing has changed")
	}
	if r = nil; r.Why("shop") != "" || r.Changed() != nil {
		t.Error("without the kind something is in the way")
	}
}

// TestWatchIsTriedAgain: a cluster that does not let Applications be watched leaves
// it open who keeps them, until it does.
func TestWatchIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := New("argocd")
		var attempts atomic.Int32
		go r.Watch(ctx, func(ctx context.Context, kind schema.GroupKind, marked bool, tell func(apply.Event)) error {
			if attempts.Add(1) < 3 {
				return errors.New("may not be watched\nby you")
			}
			tell(apply.Event{Type: apply.Listed})
			<-ctx.Done()
			return context.Cause(ctx)
		})
		synctest.Wait()
		if why := r.Why("shop"); !strings.HasSuffix(why, ": may not be watched") {
			t.Errorf("of a cluster that refuses: %q", why)
		}
		for attempts.Load() < 3 {
			<-r.Changed()
			synctest.Wait()
		}
		if why := r.Why("shop"); why != "" {
			t.Errorf("once it is watched: %q", why)
		}
		cancel()
		synctest.Wait()
	})
}

// TestWhatWentUnseenIsKeptNoMore: a watch that begins anew tells nothing of what
// went while there was none.
func TestWhatWentUnseenIsKeptNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		reconciled := map[string]any{"reconciledAt": "2026-01-01T00:00:00Z"}
		r := New("argocd")
		again := make(chan struct{})
		go r.Watch(ctx, func(ctx context.Context, _ schema.GroupKind, _ bool, tell func(apply.Event)) error {
			tell(event(apply.Added, "argocd", "stays", reconciled))
			select {
			case <-again:
				tell(apply.Event{Type: apply.Listed})
				<-ctx.Done()
				return context.Cause(ctx)
			default:
			}
			tell(event(apply.Added, "argocd", "goes", reconciled))
			tell(apply.Event{Type: apply.Listed})
			return errors.New("may not be watched any more")
		})
		synctest.Wait()
		if r.Why("stays") == "" || !strings.Contains(r.Why("goes"), "Application argocd/goes ") {
			t.Errorf("while nothing is told: %q", r.Why("goes"))
		}
		close(again)
		for range 2 { // of what was told before, and of the new list
			<-r.Changed()
			synctest.Wait()
		}
		if why := r.Why("goes"); why != "" {
			t.Errorf("once all are listed anew: %q", why)
		}
		if r.Why("stays") == "" {
			t.Error("what is there is kept no more")
		}
		cancel()
		synctest.Wait()
	})
}
