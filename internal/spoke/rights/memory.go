package rights

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// recent is how old an answer may be by which something is missing: apps that are looked
// at together ask once.
const recent = time.Second

// Memory asks the API server of one cluster for rights, and remembers what it said. What
// it said that is allowed counts until somebody says Forget; that something is missing is
// asked anew. It is safe for concurrent use.
type Memory struct {
	config *rest.Config
	now    func() time.Time
	turn   chan struct{} // held by who asks, so that the others have its answers

	users map[string]*user // of who asks
	own   string           // who keeps the cluster, "" as long as that was of no concern

	mu         sync.Mutex
	everything bool                       // who keeps the cluster may do all there is
	forgotten  bool                       // what was answered is not to be relied on
	seen       map[schema.GroupKind]*view // kinds that were read
}

// user is what is known of the rights of one.
type user struct {
	client     kubernetes.Interface
	asked      time.Time // the oldest answer
	everything *bool     // nil if that was not asked
	spaces     map[string]authorizationv1.SubjectRulesReviewStatus
	checked    map[authorizationv1.ResourceAttributes]bool
}

// view is where objects of a kind may be read.
type view struct {
	namespaces map[string]bool
	narrow     bool // not in the whole cluster at once
	wider      bool // there are more since somebody was told
}

// New returns a memory of the rights that config has, and of those whom it impersonates,
// by a clock. It sends no request.
func New(config *rest.Config, now func() time.Time) *Memory {
	return &Memory{config: config, now: now, turn: make(chan struct{}, 1), users: map[string]*user{}, seen: map[schema.GroupKind]*view{}}
}

// Everything reports whether who keeps the cluster is known to have all rights, so that
// nothing need be asked of an app without a service account.
func (m *Memory) Everything() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.everything
}

// Missing returns those of the rules, and of their verbs, that are not allowed, with the
// users by name. The rights of an account that may not be impersonated are not known: of
// these the missing impersonation is all that is said.
func (m *Memory) Missing(ctx context.Context, rules []Rule) ([]Rule, error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	m.begin()
	missing, err := m.pass(ctx, rules)
	if err == nil && len(missing) > 0 && m.outdated() {
		missing, err = m.pass(ctx, rules)
	}
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	if m.own == "" { // which older clusters do not say; it is the agent then, for all that is known
		review, err := m.of("").client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil {
			m.own = review.Status.UserInfo.Username
		}
	}
	for i := range missing {
		missing[i].User = cmp.Or(missing[i].User, m.own)
	}
	return Merge(missing), nil
}

// outdated drops what was not just answered, and reports whether there was any.
func (m *Memory) outdated() bool {
	before := len(m.users)
	maps.DeleteFunc(m.users, func(_ string, u *user) bool { return m.now().Sub(u.asked) >= recent })
	return len(m.users) < before
}

// Forget drops what was allowed, since something was refused.
func (m *Memory) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.everything, m.forgotten = false, true
	for _, v := range m.seen {
		clear(v.namespaces)
	}
}

// begin drops what was answered before the last Forget.
func (m *Memory) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forgotten {
		clear(m.users)
		m.forgotten = false
	}
}

// of returns what is known of a user.
func (m *Memory) of(name string) *user {
	if m.users[name] == nil {
		config := rest.CopyConfig(m.config)
		if name != "" {
			config.Impersonate = rest.ImpersonationConfig{UserName: name}
		}
		m.users[name] = &user{
			client: kubernetes.NewForConfigOrDie(config), // who made the Memory reaches the cluster by it
			asked:  m.now(),
			spaces: map[string]authorizationv1.SubjectRulesReviewStatus{}, checked: map[authorizationv1.ResourceAttributes]bool{},
		}
	}
	return m.users[name]
}

// pass holds the rules against what is known, and asks for the rest: those of who keeps
// the cluster first, since others are impersonated by them.
func (m *Memory) pass(ctx context.Context, rules []Rule) (missing []Rule, err error) {
	rules = slices.SortedFunc(slices.Values(rules), Compare)
	silent := map[string]bool{} // users that cannot be asked for
	for _, r := range rules {
		if silent[r.User] {
			continue
		}
		lacks, err := m.lacks(ctx, m.of(r.User), r)
		if err != nil {
			return nil, err
		}
		if len(lacks) > 0 {
			for _, name := range r.Names {
				if slices.Contains(lacks, "impersonate") {
					silent[accountPrefix+r.Namespace+":"+name] = true
				}
			}
			there, err := m.present(ctx, r)
			if err != nil {
				return nil, err
			}
			if !there {
				r.Verbs = lacks
				missing = append(missing, r)
			}
		} else if r.User == "" {
			m.note(r)
		}
	}
	return missing, nil
}

// present reports whether the rule is needed for nothing: what it would make is there.
func (m *Memory) present(ctx context.Context, r Rule) (bool, error) {
	if !r.optional {
		return false, nil
	}
	for _, name := range r.Names {
		_, err := m.of("").client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// lacks returns the verbs of a rule that a user has no right to.
func (m *Memory) lacks(ctx context.Context, u *user, r Rule) (verbs []string, err error) {
	if u.everything == nil {
		all, err := u.check(ctx, authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"})
		if err != nil {
			return nil, err
		}
		u.everything = &all
		m.mu.Lock()
		m.everything = m.everything || r.User == "" && all
		m.mu.Unlock()
	}
	for _, verb := range r.Verbs {
		if *u.everything {
			break
		}
		allowed, err := u.may(ctx, verb, r)
		if err != nil {
			return nil, err
		}
		if !allowed {
			verbs = append(verbs, verb)
		}
	}
	return verbs, nil
}

// may reports whether a user may do one thing: by the rules of the namespace, which are
// one answer for all that is in it, and where these do not tell by asking for it.
func (u *user) may(ctx context.Context, verb string, r Rule) (bool, error) {
	if r.Namespace != "" {
		space, err := u.space(ctx, r.Namespace)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(space.ResourceRules, func(given authorizationv1.ResourceRule) bool { return covers(given, verb, r) }) {
			return true, nil
		}
		if !space.Incomplete {
			return false, nil
		}
	}
	what := authorizationv1.ResourceAttributes{Verb: verb, Group: r.Group, Resource: r.Resource, Namespace: r.Namespace}
	allowed, err := u.check(ctx, what)
	if err != nil || allowed || len(r.Names) == 0 {
		return allowed, err
	}
	for _, what.Name = range r.Names {
		if allowed, err = u.check(ctx, what); err != nil || !allowed {
			return false, err
		}
	}
	return true, nil
}

// covers reports whether a rule that the API server knows of allows one thing.
func covers(given authorizationv1.ResourceRule, verb string, r Rule) bool {
	has := func(list []string, text string) bool {
		return slices.Contains(list, text) || slices.Contains(list, "*")
	}
	if !has(given.Verbs, verb) || !has(given.APIGroups, r.Group) || !has(given.Resources, r.Resource) {
		return false
	}
	unnamed := func(name string) bool { return !slices.Contains(given.ResourceNames, name) }
	return len(given.ResourceNames) == 0 || len(r.Names) > 0 && !slices.ContainsFunc(r.Names, unnamed)
}

// space returns the rules that a user has in a namespace.
func (u *user) space(ctx context.Context, namespace string) (authorizationv1.SubjectRulesReviewStatus, error) {
	if space, known := u.spaces[namespace]; known {
		return space, nil
	}
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	review, err := u.client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return authorizationv1.SubjectRulesReviewStatus{}, fmt.Errorf("asking the API server for rights in %s: %w", namespace, err)
	}
	u.spaces[namespace] = review.Status
	return review.Status, nil
}

// check asks for one thing.
func (u *user) check(ctx context.Context, what authorizationv1.ResourceAttributes) (bool, error) {
	if allowed, known := u.checked[what]; known {
		return allowed, nil
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	review, err := u.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("asking the API server for the right to %s %s: %w", what.Verb, what.Resource, err)
	}
	u.checked[what] = review.Status.Allowed
	return review.Status.Allowed, nil
}
