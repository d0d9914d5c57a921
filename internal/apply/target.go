package apply

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/app"
	"nave.dev/internal/apply/hook"
	"nave.dev/internal/apply/ownership"
	"nave.dev/internal/apply/prune"
	"nave.dev/internal/apply/sight"
	"nave.dev/internal/change"
	"nave.dev/internal/object"
)

// Target is what one app should be on the cluster, and what its caller knows.
type Target struct {
	App     string
	Bundle  *app.Bundle
	Options app.Options

	// Removed says that the app is to go with all its objects; its bundle is empty.
	Removed bool
	// FirstApply says that the app has not been applied before. It changes no
	// result: it makes existing objects known by one list a kind, not by a read
	// an object.
	FirstApply bool
	// Complete says that the evaluation told all objects of the app, so that
	// absence counts.
	Complete bool
	// Confirmed are the digests of held lists whose deletion people confirmed,
	// besides the one in Options.
	Confirmed []string
	// Kinds are those in which the app may have objects, from the cluster
	// record. Those of the bundle need not be among them.
	Kinds []schema.GroupKind
	// Tracked are the objects with the app's marks as the caller's watches show
	// them; nil means that they are to be listed. One that is missing is pruned
	// later, one too many is found out before anything is deleted.
	Tracked []Tracked
	// Known are baselines that still hold: no event has differed from them. An
	// object with one costs nothing unless Git changed it.
	Known map[object.ID]Baseline

	// ClaimedBy names another app of the assignment, or of the last good bundle
	// of one in error, that has the object in Git. Nil means none.
	ClaimedBy func(object.ID) (app string, ok bool)
	// Keeps reports whether another app, whose marks the object carries, is in
	// the cluster's assignment and has it in Git, or may have it there, for all
	// that is known. Nil means that every app keeps what carries its marks.
	Keeps func(app string, id object.ID) bool
	// Needs names another app that has objects in a Namespace or of the kind of a
	// CustomResourceDefinition. Nil means none.
	Needs func(object.ID) (app string, ok bool)
	// Gate says what a wave and later ones wait for outside of the app, or nothing.
	// It holds back what Git has changed, not what others have: that is undone all
	// the same. Nil means that nothing waits.
	Gate func(wave int) string
	// Health says whether an object does its work, has failed, and why. Nil
	// means that what exists is healthy.
	Health func(*unstructured.Unstructured) (ready, failed bool, message string)

	// Run is what KeepRun was last given for the app, if ever.
	Run hook.Run
	// KeepRun keeps the app's run of hooks where losing this process does not lose
	// it. It must be set if the bundle has hooks.
	KeepRun func(context.Context, hook.Run) error
	// Rerun asks for the hooks to be run again. It lapses when a run of a higher
	// attempt is kept.
	Rerun bool
	// Removal says that the app is to go: of its bundle only the hooks count, those
	// of PreDelete before its objects are pruned and those of PostDelete after.
	Removal bool
	// Completion says whether a hook has done its work, has failed, and why or what
	// it is doing. Nil means that what exists is done.
	Completion func(*unstructured.Unstructured) (done, failed bool, message string)

	// Decrypt returns an encrypted object as it is to be applied. An object of
	// which that fails fails alone, and the cluster's stays as it is. Nil means that
	// nothing can be decrypted.
	Decrypt func(*unstructured.Unstructured) (*unstructured.Unstructured, error)

	// Variables returns what replaces the variables of Deferred objects, or says what
	// all of the app waits for. Nil leaves them.
	Variables func(context.Context) (replace Replace, waitsFor string, err error)

	// ClusterObjects counts the objects that Nave manages on the cluster, and
	// PrunedThisRound what other apps' prunes of the same round deleted.
	ClusterObjects  int
	PrunedThisRound int
	// HoldPrunes says why nothing of the app is deleted unasked now; empty if that
	// is not so.
	HoldPrunes string
}

// Replace returns a Deferred object as it is to be applied, and whether values of
// Secrets are in it. An object of which that fails fails alone.
type Replace func(*unstructured.Unstructured) (replaced *unstructured.Unstructured, secret bool, err error)

// Result is what was done to the objects of an app.
type Result struct {
	Changes change.Set
	// Held are the deletions that wait for people, nil if there are none.
	Held *Held
	// Pruned counts the deletions that used up the cluster's budget.
	Pruned int
	// Baselines are those of all objects that are as they should be, by identity.
	Baselines map[object.ID]Baseline
	// WaitsFor says what must happen before the rest is done; empty if all is.
	WaitsFor string
	// Kinds are those in which the app has objects now.
	Kinds []schema.GroupKind
}

// Held is a list of deletions that wait for confirmation.
type Held struct {
	Digest  string // what people confirm
	Objects []object.ID
	Reason  string // which rule holds them
}

// Baseline is an object as it was applied, as far as a change of it matters.
type Baseline = sight.Baseline

// Tracked is a marked object as its metadata shows it.
type Tracked = sight.Tracked

// track reads what the metadata of an object shows.
func (c *Client) track(u *unstructured.Unstructured) Tracked { return c.tracked(ownership.Read(u)) }

// tracked is track of an object whose managed fields have been read.
func (c *Client) tracked(o ownership.Object) Tracked {
	u := o.Unstructured
	t := Tracked{
		ID: object.Of(u), UID: u.GetUID(), Kept: prune.Kept(u), Confirm: prune.Confirm(u), Extraneous: prune.Extraneous(u), Removal: prune.RemovalOf(u),
		Generation: u.GetGeneration(), Version: u.GetResourceVersion(),
		Fields: o.Applied(), Foreign: o.Foreign(ownership.Rules{Former: c.options.FormerManagers}),
		Deleting: u.GetDeletionTimestamp() != nil,
	}
	if owner, adopted, ok := object.OwnerOf(u); ok {
		t.Owner, t.Adopted = owner, adopted
	}
	return t
}

// baseline returns the baseline of an object that was just read or applied.
func (c *Client) baseline(u *unstructured.Unstructured, desired string) Baseline {
	o := ownership.Read(u)
	t := c.tracked(o)
	return Baseline{
		UID: t.UID, Generation: t.Generation, Fields: t.Fields, Foreign: t.Foreign,
		Desired: desired, Adopted: t.Adopted,
		Replicas: o.Owns("spec", "replicas"),
	}
}

// Baseline returns the baseline of an object as it is that others apply, such as Helm.
func (c *Client) Baseline(u *unstructured.Unstructured) Baseline { return c.baseline(u, "") }

// at returns a point in time for a sentence, or nothing.
func at(when time.Time) string {
	if when.IsZero() {
		return ""
	}
	return " at " + when.UTC().Format(time.RFC3339)
}
