// Package record is what a cluster itself remembers of what Nave did there, so that
// it outlives every hub: a small Secret that a [Store] reads and writes. It decides
// nothing.
package record

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/apply/hook"
	"nave.dev/internal/object"
)

// Where the cluster record is. It is a Secret since it holds the key by which
// secret values are veiled.
const (
	Namespace = "nave-system"
	Name      = "nave-record"
	Key       = "record.json"
	kind      = "nave.dev/record"
	LeaseName = "nave-writer"
)

// Record is what a cluster itself remembers, so that it outlives every hub. It is
// small, and written before what depends on it is done.
type Record struct {
	Fleet  string `json:"fleet"`
	Number int64  `json:"number"` // of the accepted assignment
	Digest string `json:"digest"` // of its content
	// Kinds in which each app may have objects, as Kind.group: extended before the
	// first apply of a new one, so that an interrupted apply leaves nothing that
	// is not looked for.
	Kinds map[string][]string `json:"kinds,omitempty"`
	// Applied are the apps that have been applied here before, or were about to be,
	// in order.
	Applied []string `json:"applied,omitempty"`
	// Left says of those that are no longer assigned since when. They are forgotten
	// once nothing of them is on the cluster.
	Left   map[string]time.Time `json:"left,omitempty"`
	Pauses []Pause              `json:"pauses,omitempty"`
	// Confirmed are the held lists whose deletion people confirmed: by app the
	// digest of its list, until that is done or is another.
	Confirmed map[string]string `json:"confirmed,omitempty"`
	// Hooks are the last run of each app that has had hooks, and Rerun the apps whose
	// hooks somebody asked to be run again.
	Hooks map[string]hook.Run `json:"hooks,omitempty"`
	Rerun map[string]bool     `json:"rerun,omitempty"`
	// Asked are the syncs that people asked for, by app, where they do more than would be
	// done without.
	Asked map[string]Asked `json:"asked,omitempty"`
	// DigestKey veils secret values in what is shown of this cluster.
	DigestKey []byte `json:"digestKey"`
}

// Pause keeps an app, or the whole cluster, from being written for a while.
type Pause struct {
	App    string    `json:"app,omitempty"` // empty is the whole cluster
	Until  time.Time `json:"until"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason"`
}

// String says until when, by whom and why.
func (p Pause) String() string {
	return fmt.Sprintf("paused until %s by %s: %s", p.Until.Format(time.RFC3339), p.Actor, p.Reason)
}

// Asked is a sync that somebody asked for, of what an app was then. What Git makes
// of it later has to be asked for again.
type Asked struct {
	Digest string `json:"digest"` // of the bundle
	Done   bool   `json:"done,omitempty"`
}

// Store reads and writes the record of one cluster. It is for one goroutine.
type Store struct {
	client  kubernetes.Interface
	fleet   string
	pauses  []Pause            // of a cluster whose record is gone
	version string             // of the Secret as last read or written; empty if there is none
	Record  Record             // as last read or written
	all     []schema.GroupKind // of all apps, as the record has them; nil until asked for
}

// Timeout bounds a request that concerns the record: the loop waits for it.
const Timeout = 10 * time.Second

// WrongFleetError says that the cluster belongs to another fleet. Nothing is
// written to it.
type WrongFleetError struct{ Have, Want string }

// Error names both fleets.
func (e *WrongFleetError) Error() string {
	return fmt.Sprintf("the cluster belongs to fleet %q, not %q\nhint: delete the secret %s/%s there if it is to change fleets", e.Have, e.Want, Namespace, Name)
}

// SizeError says that the record would not fit into a Secret. The one that
// is there stays.
type SizeError struct{ size, apps, left int }

// Error says how much the record would hold.
func (e *SizeError) Error() string {
	return fmt.Sprintf("the cluster record would have %d bytes, for %d apps of which %d have left the cluster, and a Secret takes %d\nhint: remove what those left behind, which nave orphans lists; they are forgotten some minutes later", e.size, e.apps, e.left, corev1.MaxSecretSize)
}

// New returns the store of a cluster's record. Pauses are those of a cluster whose
// record is gone.
func New(client kubernetes.Interface, fleet string, pauses []Pause) *Store {
	return &Store{client: client, fleet: fleet, pauses: pauses}
}

// Load reads the record, and makes one that has but the pauses for a cluster
// without. It writes nothing.
func (s *Store) Load(ctx context.Context) error {
	s.version, s.all = "", nil
	s.Record = Record{Fleet: s.fleet, Kinds: map[string][]string{}, Pauses: slices.Clone(s.pauses), DigestKey: make([]byte, 32)}
	if _, err := rand.Read(s.Record.DigestKey); err != nil {
		return err
	}
	_, err := s.Reload(ctx)
	return err
}

// Reload reads the record again and reports whether it was another. One that is
// gone is to be written again as it was last known: what it remembers is true
// whether or not somebody deleted it.
func (s *Store) Reload(ctx context.Context) (changed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, Timeout, errTimeout)
	defer cancel()
	secret, err := s.client.CoreV1().Secrets(Namespace).Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		changed = s.version != ""
		s.version = ""
		return changed, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the cluster record: %w", err)
	}
	if secret.ResourceVersion == s.version {
		return false, nil
	}
	found, err := decode(secret.Data[Key])
	if err != nil {
		return false, fmt.Errorf("reading the cluster record: %w", err)
	}
	if found.Fleet != s.fleet {
		return false, &WrongFleetError{Have: found.Fleet, Want: s.fleet}
	}
	if len(found.DigestKey) == 0 {
		found.DigestKey = s.Record.DigestKey
	}
	s.version, s.Record, s.all = secret.ResourceVersion, found, nil
	return true, nil
}

// decode reads what a cluster remembers, which somebody may have edited.
func decode(data []byte) (Record, error) {
	var r Record
	err := json.Unmarshal(data, &r)
	if r.Kinds == nil {
		r.Kinds = map[string][]string{}
	}
	slices.Sort(r.Applied)
	return r, err
}

var errTimeout = fmt.Errorf("no answer within %s", Timeout)

// Change writes the record as do leaves it. Nothing is written if do changes
// nothing. A record that somebody else changed or deleted meanwhile is read
// again, and do is done to what it is now.
func (s *Store) Change(ctx context.Context, do func(*Record)) error {
	var err error
	for range 3 {
		if err = s.try(ctx, do); !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return err
		}
		if _, err := s.Reload(ctx); err != nil {
			return err
		}
	}
	return err
}

func (s *Store) try(ctx context.Context, do func(*Record)) error {
	before, err := json.Marshal(s.Record)
	if err != nil {
		return err
	}
	next, err := decode(before)
	if err != nil {
		return err
	}
	do(&next)
	after, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if string(before) == string(after) && s.version != "" {
		return nil
	}
	if len(after) > corev1.MaxSecretSize {
		return &SizeError{size: len(after), apps: len(next.Applied), left: len(next.Left)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, Timeout, errTimeout)
	defer cancel()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name, ResourceVersion: s.version},
		Type:       kind,
		Data:       map[string][]byte{Key: after},
	}
	api := s.client.CoreV1().Secrets(Namespace)
	if s.version == "" {
		if err := s.MakeNamespace(ctx); err != nil {
			return err
		}
		secret, err = api.Create(ctx, secret, metav1.CreateOptions{FieldManager: object.FieldManager})
	} else {
		secret, err = api.Update(ctx, secret, metav1.UpdateOptions{FieldManager: object.FieldManager})
	}
	if err != nil {
		return fmt.Errorf("writing the cluster record: %w", err)
	}
	s.version, s.Record, s.all = secret.ResourceVersion, next, nil
	return nil
}

// MakeNamespace makes the namespace of the record and the lease if there is none.
func (s *Store) MakeNamespace(ctx context.Context) error {
	api := s.client.CoreV1().Namespaces()
	_, err := api.Get(ctx, Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
		_, err = api.Create(ctx, namespace, metav1.CreateOptions{FieldManager: object.FieldManager})
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making the namespace of the cluster record: %w", err)
	}
	return nil
}

// PausedBy returns the pause that holds an app at a time, if any.
func (r *Record) PausedBy(app string, now time.Time) (Pause, bool) {
	for _, pause := range r.Pauses {
		if now.Before(pause.Until) && (pause.App == "" || pause.App == app) {
			return pause, true
		}
	}
	return Pause{}, false
}

// Pause holds an app, or with no name all of them, until a time: in place of the pause that
// there may be, and of those that are over. A time that has passed ends a pause, and
// ended says whether there was one.
func (r *Record) Pause(pause Pause, now time.Time) (ended bool) {
	r.Pauses = slices.DeleteFunc(r.Pauses, func(p Pause) bool {
		over := !now.Before(p.Until)
		ended = ended || !over && p.App == pause.App
		return over || p.App == pause.App
	})
	if now.Before(pause.Until) {
		r.Pauses = append(r.Pauses, pause)
	}
	return ended
}

// Confirm notes that people confirmed the deletions of an app that a digest names.
func (r *Record) Confirm(app, digest string) {
	if r.Confirmed == nil {
		r.Confirmed = map[string]string{}
	}
	r.Confirmed[app] = digest
}

// AddKinds extends the kinds of an app.
func (r *Record) AddKinds(app string, kinds []schema.GroupKind) {
	for _, kind := range kinds {
		if text := kind.String(); !slices.Contains(r.Kinds[app], text) {
			r.Kinds[app] = append(r.Kinds[app], text)
		}
	}
	slices.Sort(r.Kinds[app])
}

// KindsOf returns those in which an app may have objects, in order.
func (r *Record) KindsOf(app string) []schema.GroupKind {
	kinds := make([]schema.GroupKind, 0, len(r.Kinds[app]))
	for _, text := range r.Kinds[app] {
		kinds = append(kinds, schema.ParseGroupKind(text))
	}
	return kinds
}

// ForgetAfter is how long an app must have left a cluster before the record may
// forget it. What was sent for it by then has arrived, or never will.
const ForgetAfter = 10 * time.Minute

// NoteLeft keeps in the record since when apps that were applied are no longer
// assigned.
func (r *Record) NoteLeft(assigned func(app string) bool, now time.Time) {
	for _, name := range r.Applied {
		if _, known := r.Left[name]; !known && !assigned(name) {
			if r.Left == nil {
				r.Left = map[string]time.Time{}
			}
			r.Left[name] = now.UTC().Truncate(time.Second)
		}
	}
	maps.DeleteFunc(r.Rerun, func(name string, _ bool) bool { return !assigned(name) })
	maps.DeleteFunc(r.Left, func(name string, _ time.Time) bool { return assigned(name) })
}

// Forget drops from the record the apps that left and of which nothing is on the
// cluster any more. Should one come back it is as one that never was there, and
// what it then finds there is not its own.
func (r *Record) Forget(nothingOf func(app string) bool, now time.Time) {
	gone := map[string]bool{}
	for name, since := range r.Left {
		if now.Sub(since) >= ForgetAfter && nothingOf(name) {
			gone[name] = true
			delete(r.Left, name)
			delete(r.Kinds, name)
			delete(r.Hooks, name)
		}
	}
	r.Applied = slices.DeleteFunc(r.Applied, func(name string) bool { return gone[name] })
}

// Kinds returns those in which any app may have objects, in order.
func (s *Store) Kinds() []schema.GroupKind {
	if s.all == nil {
		seen := map[string]bool{}
		for _, texts := range s.Record.Kinds {
			for _, text := range texts {
				seen[text] = true
			}
		}
		s.all = []schema.GroupKind{}
		for _, text := range slices.Sorted(maps.Keys(seen)) {
			s.all = append(s.all, schema.ParseGroupKind(text))
		}
	}
	return s.all
}
