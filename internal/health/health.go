// Package health says whether an object in a cluster does its work: Healthy, Progressing, Degraded, Suspended, Missing
// or Unknown, the words of Argo CD. A [Checker] takes the object as it was read and asks, in this order: the user's own
// Lua checks from the fleet repository, the Lua checks that Argo CD ships, rules in Go for the kinds that Argo CD
// handles in Go, and the conventions of kstatus for all other kinds. [Aggregate] makes one word of many, for an app, a
// cluster or the fleet, and [Deadline] turns waiting for too long into failure; both are functions of values. The
// package reads nothing from a cluster, keeps no history and never changes the objects it is given.
package health

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/health/sandbox"
)

// Status is the health of an object, an app, a cluster or the fleet.
type Status string

// The words for health, from best to worst. The order is Argo CD's.
const (
	// Healthy: it does its work.
	Healthy Status = "Healthy"
	// Suspended: it was told to wait, and waits.
	Suspended Status = "Suspended"
	// Progressing: not there yet, and may still get there by itself.
	Progressing Status = "Progressing"
	// Missing: it should be in the cluster and is not.
	Missing Status = "Missing"
	// Degraded: it failed, or did not get there in time.
	Degraded Status = "Degraded"
	// Unknown: it could not be found out.
	Unknown Status = "Unknown"
)

var order = map[Status]int{Healthy: 0, Suspended: 1, Progressing: 2, Missing: 3, Degraded: 4, Unknown: 5}

// Worse reports whether s is worse than other. A word that is none of the six counts as Unknown.
func (s Status) Worse(other Status) bool { return s.rank() > other.rank() }

func (s Status) rank() int {
	if rank, ok := order[s]; ok {
		return rank
	}
	return order[Unknown]
}

// Source is the kind of rule that a result comes from.
type Source string

// The sources of results.
const (
	// SourceCustom is a Lua check from the fleet repository.
	SourceCustom Source = "custom"
	// SourceLua is a Lua check that Argo CD ships.
	SourceLua Source = "lua"
	// SourceBuiltin is a rule of this package.
	SourceBuiltin Source = "builtin"
	// SourceKStatus is the conventions of kstatus: observedGeneration and the conditions Ready, Reconciling and
	// Stalled.
	SourceKStatus Source = "kstatus"
	// SourceNone means that no rule applies: the kind has no status that says anything about health.
	SourceNone Source = "none"
)

// IgnoreAnnotation set to "true" on an object keeps its health out of every aggregate, as in Argo CD.
const IgnoreAnnotation = "argocd.argoproj.io/ignore-healthcheck"

// maxMessage is the length of the longest message in bytes. Messages travel to the hub and are kept.
const maxMessage = 1024

// Result is the health of one object and where the verdict comes from. It is comparable: two results are == when
// nothing about the health changed.
type Result struct {
	Status Status `json:"status"`
	// Message says why, for a person; it may be empty where the status is Healthy.
	Message string `json:"message,omitempty"`
	Source  Source `json:"source"`
	// Rule is the file of the Lua check that decided.
	Rule string `json:"rule,omitempty"`
	// Ignored is true where the object carries [IgnoreAnnotation].
	Ignored bool `json:"ignored,omitempty"`
	// ReadsClock is true where a Lua check asked for the present time: the result may change without the object
	// changing, so it is worth asking again after a while.
	ReadsClock bool `json:"readsClock,omitempty"`
	// OwnDeadline is the progress deadline that the object states and its controller enforces at present, 0 for
	// none. See [Deadline].
	OwnDeadline time.Duration `json:"-"`
}

// Options configure a [Checker]. The zero value works.
type Options struct {
	// Custom holds the user's checks as GROUP/KIND/health.lua, with core/KIND/health.lua or KIND/health.lua for the
	// core group. An underscore in a name stands for any characters. A custom check wins over all others. Nil means
	// none.
	Custom fs.FS
	// CustomDir is the directory of Custom that holds them, "" for its root. One that is missing holds none.
	CustomDir string
	// Clock is what scripts see as the present time. Nil means time.Now.
	Clock func() time.Time
	// Limits bound one run of one Lua check. Zero fields mean the defaults of package sandbox.
	Limits sandbox.Limits
	// HookFinalizers are finalizers with which hooks are held until their result was seen. An object that carries one
	// is judged by its state even while it is being deleted.
	HookFinalizers []string
}

// Checker finds the health of objects. It is immutable and safe for concurrent use.
type Checker struct {
	options  Options
	runner   *sandbox.Runner
	custom   *scripts
	embedded *scripts
	rules    sync.Map // schema.GroupKind to *rule
}

// New returns a Checker with opts. Its error joins a *[Problem] for everything that is wrong with the custom checks;
// without custom checks there is none.
func New(opts Options) (*Checker, error) {
	embedded, err := embeddedScripts()
	if err != nil {
		return nil, err
	}
	custom, err := customScripts(opts.Custom, opts.CustomDir)
	if err != nil {
		return nil, err
	}
	return &Checker{
		options:  opts,
		runner:   sandbox.New(sandbox.Options{Limits: opts.Limits, Clock: opts.Clock}),
		custom:   custom,
		embedded: embedded,
	}, nil
}

// Check returns the health of obj; nil stands for an object that is not in the cluster. It does not change obj and does
// not fail: what cannot be found out is Unknown, with the reason as message. One that is being deleted is never Healthy.
// A cancelled ctx ends a running Lua check, and the result, Unknown, is then worth nothing.
func (c *Checker) Check(ctx context.Context, obj *unstructured.Unstructured) Result {
	result := c.Verdict(ctx, obj)
	if result.Status != Healthy {
		return result
	}
	if message, deleting := c.deleting(object(obj.Object)); deleting {
		result.Status, result.Message, result.Source, result.Rule = Progressing, shorten(message), SourceBuiltin, ""
	}
	return result
}

// Verdict is Check for a person who asks what an object is, and not for who waits for it: a Lua check may call Healthy
// what is being deleted.
func (c *Checker) Verdict(ctx context.Context, obj *unstructured.Unstructured) Result {
	if obj == nil {
		return Result{Status: Missing, Message: "not in the cluster", Source: SourceNone}
	}
	gvk := obj.GroupVersionKind()
	if gvk.Kind == "" {
		return Result{Status: Unknown, Message: "the object states no apiVersion and kind", Source: SourceNone}
	}
	o := object(obj.Object)
	result := c.decide(ctx, c.rule(gvk.GroupKind()), obj)
	if message, deleting := c.deleting(o); deleting && !result.ofCheck() {
		result = Result{Status: Progressing, Message: message, Source: SourceBuiltin}
	}
	result.Message = shorten(result.Message)
	result.Ignored = o.text("metadata", "annotations", IgnoreAnnotation) == "true"
	return result
}

// ofCheck reports whether a Lua check has come to the result, and not only failed to.
func (r Result) ofCheck() bool {
	return (r.Source == SourceCustom || r.Source == SourceLua) && r.Status != Unknown && r.Message != noStatusYet
}

// noStatusYet is the message of an object without a status whose check takes one for granted.
const noStatusYet = "waiting for its first status"

// deleting says whether o is being deleted, and what holds it.
func (c *Checker) deleting(o object) (message string, deleting bool) {
	since := o.text("metadata", "deletionTimestamp")
	if since == "" {
		return "", false
	}
	var finalizers []string
	for _, value := range o.list("metadata", "finalizers") {
		finalizer, ok := value.(string)
		if !ok {
			continue
		}
		for _, hook := range c.options.HookFinalizers {
			if finalizer == hook {
				return "", false
			}
		}
		finalizers = append(finalizers, finalizer)
	}
	if len(finalizers) == 0 {
		return "being deleted since " + since, true
	}
	return fmt.Sprintf("being deleted since %s, held by finalizer %s", since, strings.Join(finalizers, ", ")), true
}

// decide asks the rules for the object's kind in turn. A check that returns nothing leaves the verdict to the next.
func (c *Checker) decide(ctx context.Context, r *rule, obj *unstructured.Unstructured) Result {
	readsClock := false
	for _, script := range r.scripts {
		result, decided := c.runScript(ctx, script, obj.Object)
		if decided {
			result.ReadsClock = result.ReadsClock || readsClock
			return result
		}
		readsClock = readsClock || result.ReadsClock
	}
	var result Result
	switch {
	case r.builtin != nil:
		result = r.builtin(object(obj.Object))
		result.Source = SourceBuiltin
	case r.stateless:
		result = Result{Status: Healthy, Source: SourceNone}
	default:
		result = byConvention(obj)
	}
	result.ReadsClock = readsClock
	return result
}

// runScript runs one Lua check. decided is false when it returned nothing.
func (c *Checker) runScript(ctx context.Context, s *script, obj map[string]any) (result Result, decided bool) {
	result = Result{Status: Unknown, Source: s.source, Rule: s.path}
	program, err := s.compile()
	if err != nil {
		result.Message = err.Error()
		return result, true
	}
	outcome, err := c.runner.Run(ctx, program, obj)
	result.ReadsClock = outcome.ReadClock
	switch {
	case err != nil && !errors.Is(err, sandbox.ErrLimit) && ctx.Err() == nil && len(object(obj).object("status")) == 0:
		// Many checks take a status for granted. Before a controller has written one, that is no failure.
		result.Status, result.Message = Progressing, noStatusYet
		return result, true
	case err != nil:
		result.Message = err.Error()
		return result, true
	case outcome.Empty:
		return result, false
	}
	result.Message = outcome.Fields["message"]
	if status := Status(outcome.Fields["status"]); order[status] > 0 || status == Healthy {
		result.Status = status
	} else {
		result.Message = fmt.Sprintf("%s returned the status %q, which is none", s.path, status)
	}
	return result, true
}

// HasRule reports whether the health of a kind depends on more than its existence, so that its status is worth
// watching: true for kinds with a check or rule of their own and for kinds that may follow the conventions of kstatus,
// which every custom resource may; false for Kubernetes' own kinds without a telling status, such as ConfigMap.
func (c *Checker) HasRule(kind schema.GroupKind) bool { return c.SourceOf(kind) != SourceNone }

// SourceOf returns which source decides for objects of a kind. A check that returns nothing may leave the verdict to a
// later one.
func (c *Checker) SourceOf(kind schema.GroupKind) Source { return c.rule(kind).source() }

// shorten cuts a message to maxMessage bytes between characters.
func shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	const mark = "…"
	cut := maxMessage - len(mark)
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + mark
}
