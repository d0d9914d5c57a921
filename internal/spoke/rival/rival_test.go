package rival

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/object"
)

var (
	application   = schema.GroupKind{Group: "argoproj.io", Kind: "Application"}
	kustomization = schema.GroupKind{Group: "kustomize.toolkit.fluxcd.io", Kind: "Kustomization"}
	helmRelease   = schema.GroupKind{Group: "helm.toolkit.fluxcd.io", Kind: "HelmRelease"}
)

// only has the cluster serve the given kinds.
func only(kinds ...schema.GroupKind) func(schema.GroupKind) bool {
	return func(kind schema.GroupKind) bool { return slices.Contains(kinds, kind) }
}

// about is an event about an object.
func about(event apply.EventType, kind schema.GroupKind, namespace, name string, content map[string]any) apply.Event {
	return apply.Event{
		Type: event, Kind: kind,
		Tracked: apply.Tracked{ID: object.ID{Group: kind.Group, Kind: kind.Kind, Namespace: namespace, Name: name}},
		Object:  &unstructured.Unstructured{Object: content},
	}
}

// event is one about an Application with a status.
func event(kind apply.EventType, namespace, name string, status map[string]any) apply.Event {
	return about(kind, application, namespace, name, map[string]any{"status": status})
}

func TestWhy(t *testing.T) {
	reconciled := map[string]any{"reconciledAt": "2026-01-01T00:00:00Z"}
	synced := map[string]any{"operationState": map[string]any{"phase": "Running"}}
	r := New()
	if why := r.Why("shop"); why != "" {
		t.Errorf("without the kind something is in the way: %q", why)
	}
	r.Meet(t.Context(), only(application))
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
		r.take(r.kinds[application], step.event)
		if have := r.Why(step.app); (have == "") != (step.want == "") || !strings.Contains(have, step.want) {
			t.Errorf("%s: %q, want %q", step.reason, have, step.want)
		}
	}
	select {
	case <-r.Changed():
	default:
		t.Error("nothing has changed")
	}
	r.take(r.kinds[application], event(apply.Added, "argocd", "shop", reconciled))
	if r.Meet(t.Context(), only()); r.Why("shop") != "" {
		t.Error("what went with its kind is in the way")
	}
}

func TestWhyOfFlux(t *testing.T) {
	seen := func(spec map[string]any) map[string]any {
		return map[string]any{"spec": spec, "status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "False"}}}}
	}
	for _, tt := range []struct {
		reason          string
		kind            schema.GroupKind
		namespace, name string
		content         map[string]any
		app             string
		want            string // contained; empty if nothing is in the way
	}{
		{"a Kustomization at home", kustomization, "flux-system", "apps", seen(nil), "apps", "running Flux keeps the Kustomization flux-system/apps on"},
		{"and how to have it leave", kustomization, "flux-system", "apps", seen(nil), "apps", "flux suspend kustomization apps -n flux-system)"},
		{"elsewhere its namespace comes first", kustomization, "team", "web", seen(nil), "team_web", "Kustomization team/web "},
		{"and it is in nobody else's way", kustomization, "team", "web", seen(nil), "web", ""},
		{"a HelmRelease", helmRelease, "shop", "web", seen(nil), "helm_shop_web", "flux suspend helmrelease web -n shop)"},
		{"which is no Kustomization", helmRelease, "flux-system", "web", seen(nil), "web", ""},
		{"one that is suspended", kustomization, "flux-system", "apps", seen(map[string]any{"suspend": true}), "apps", ""},
		{"one that is not", helmRelease, "shop", "web", seen(map[string]any{"suspend": false}), "helm_shop_web", "HelmRelease shop/web "},
		{"one that writes to another cluster", kustomization, "flux-system", "apps", seen(map[string]any{"kubeConfig": map[string]any{}}), "apps", ""},
		{"one that no controller has seen, by the default of its definition", kustomization, "flux-system", "apps",
			map[string]any{"status": map[string]any{"observedGeneration": int64(-1)}}, "apps", ""},
	} {
		r := New()
		r.Meet(t.Context(), only(kustomization, helmRelease))
		for _, kind := range []schema.GroupKind{kustomization, helmRelease} {
			r.take(r.kinds[kind], apply.Event{Type: apply.Listed})
		}
		r.take(r.kinds[tt.kind], about(apply.Added, tt.kind, tt.namespace, tt.name, tt.content))
		if have := r.Why(tt.app); (have == "") != (tt.want == "") || !strings.Contains(have, tt.want) {
			t.Errorf("%s: %q, want %q", tt.reason, have, tt.want)
		}
	}
}

// TestKindsAreKnownEachByItself: of two kinds, one that is not listed yet leaves it open
// who is kept, but not of what the other one is known to keep.
func TestKindsAreKnownEachByItself(t *testing.T) {
	r := New()
	r.Meet(t.Context(), only(application, kustomization))
	r.take(r.kinds[kustomization], apply.Event{Type: apply.Listed})
	r.take(r.kinds[kustomization], about(apply.Added, kustomization, "flux-system", "apps", map[string]any{"status": map[string]any{"conditions": []any{"one"}}}))
	if why := r.Why("apps"); !strings.Contains(why, "Kustomization flux-system/apps ") {
		t.Errorf("of one that is known to be kept: %q", why)
	}
	if why := r.Why("web"); !strings.Contains(why, "not known whether a running Argo CD") {
		t.Errorf("while Applications are not known: %q", why)
	}
	r.take(r.kinds[application], apply.Event{Type: apply.Listed})
	if why := r.Why("web"); why != "" {
		t.Errorf("once all are: %q", why)
	}
}

// TestWatchIsTriedAgain: a cluster that does not let Applications be watched leaves
// it open who keeps them, until it does.
func TestWatchIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := New()
		var attempts atomic.Int32
		go r.Meet(ctx, only(application))[0](func(ctx context.Context, kind schema.GroupKind, marked bool, tell func(apply.Event)) error {
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
		r := New()
		again := make(chan struct{})
		go r.Meet(ctx, only(application))[0](func(ctx context.Context, _ schema.GroupKind, _ bool, tell func(apply.Event)) error {
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
