package spoke

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
	Namespace  = "nave-system"
	recordName = "nave-record"
	recordKey  = "record.json"
	recordType = "nave.dev/record"
	writerName = "nave-writer"
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
	// Asked are the syncs that people asked for, by app, where an app is not synced
	// without.
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

// recordStore reads and writes the record of one cluster.
type recordStore struct {
	client  kubernetes.Interface
	fleet   string
	pauses  []Pause // of a cluster whose record is gone
	version string  // of the Secret as last read or written; empty if there is none
	record  Record
	all     []schema.GroupKind // of all apps, as the record has them; nil until asked for
}

// recordTimeout bounds a request that concerns the record: the loop waits for it.
const recordTimeout = 10 * time.Second

// WrongFleetError says that the cluster belongs to another fleet. Nothing is
// written to it.
type WrongFleetError struct{ Have, Want string }

// Error names both fleets.
func (e *WrongFleetError) Error() string {
	return fmt.Sprintf("the cluster belongs to fleet %q, not %q\nhint: delete the secret %s/%s there if it is to change fleets", e.Have, e.Want, Namespace, recordName)
}

// recordSizeError says that the record would not fit into a Secret. The one that
// is there stays.
type recordSizeError struct{ size, apps, left int }

// Error says how much the record would hold.
func (e *recordSizeError) Error() string {
	return fmt.Sprintf("the cluster record would have %d bytes, for %d apps of which %d have left the cluster, and a Secret takes %d\nhint: remove what those left behind, which nave orphans lists; they are forgotten some minutes later", e.size, e.apps, e.left, corev1.MaxSecretSize)
}

// load reads the record, and makes one that has but the pauses for a cluster
// without. It writes nothing.
func (s *recordStore) load(ctx context.Context) error {
	s.version, s.all = "", nil
	s.record = Record{Fleet: s.fleet, Kinds: map[string][]string{}, Pauses: slices.Clone(s.pauses), DigestKey: make([]byte, 32)}
	if _, err := rand.Read(s.record.DigestKey); err != nil {
		return err
	}
	_, err := s.reload(ctx)
	return err
}

// reload reads the record again and reports whether it was another. One that is
// gone is to be written again as it was last known: what it remembers is true
// whether or not somebody deleted it.
func (s *recordStore) reload(ctx context.Context) (changed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, recordTimeout, errRecordTimeout)
	defer cancel()
	secret, err := s.client.CoreV1().Secrets(Namespace).Get(ctx, recordName, metav1.GetOptions{})
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
	found, err := decodeRecord(secret.Data[recordKey])
	if err != nil {
		return false, fmt.Errorf("reading the cluster record: %w", err)
	}
	if found.Fleet != s.fleet {
		return false, &WrongFleetError{Have: found.Fleet, Want: s.fleet}
	}
	if len(found.DigestKey) == 0 {
		found.DigestKey = s.record.DigestKey
	}
	s.version, s.record, s.all = secret.ResourceVersion, found, nil
	return true, nil
}

// decodeRecord reads what a cluster remembers, which somebody may have edited.
func decodeRecord(data []byte) (Record, error) {
	var r Record
	err := json.Unmarshal(data, &r)
	if r.Kinds == nil {
		r.Kinds = map[string][]string{}
	}
	slices.Sort(r.Applied)
	return r, err
}

var errRecordTimeout = fmt.Errorf("no answer within %s", recordTimeout)

// change writes the record as do leaves it. Nothing is written if do changes
// nothing. A record that somebody else changed or deleted meanwhile is read
// again, and do is done to what it is now.
func (s *recordStore) change(ctx context.Context, do func(*Record)) error {
	var err error
	for range 3 {
		if err = s.try(ctx, do); !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return err
		}
		if _, err := s.reload(ctx); err != nil {
			return err
		}
	}
	return err
}

func (s *recordStore) try(ctx context.Context, do func(*Record)) error {
	before, err := json.Marshal(s.record)
	if err != nil {
		return err
	}
	next, err := decodeRecord(before)
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
		return &recordSizeError{size: len(after), apps: len(next.Applied), left: len(next.Left)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, recordTimeout, errRecordTimeout)
	defer cancel()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: recordName, ResourceVersion: s.version},
		Type:       recordType,
		Data:       map[string][]byte{recordKey: after},
	}
	api := s.client.CoreV1().Secrets(Namespace)
	if s.version == "" {
		if err := s.makeNamespace(ctx); err != nil {
			return err
		}
		secret, err = api.Create(ctx, secret, metav1.CreateOptions{FieldManager: object.FieldManager})
	} else {
		secret, err = api.Update(ctx, secret, metav1.UpdateOptions{FieldManager: object.FieldManager})
	}
	if err != nil {
		return fmt.Errorf("writing the cluster record: %w", err)
	}
	s.version, s.record, s.all = secret.ResourceVersion, next, nil
	return nil
}

// makeNamespace makes the namespace of the record and the lease if there is none.
func (s *recordStore) makeNamespace(ctx context.Context) error {
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

// pausedBy returns the pause that holds an app at a time, if any.
func (r *Record) pausedBy(app string, now time.Time) (Pause, bool) {
	for _, pause := range r.Pauses {
		if now.Before(pause.Until) && (pause.App == "" || pause.App == app) {
			return pause, true
		}
	}
	return Pause{}, false
}

// addKinds extends the kinds of an app.
func (r *Record) addKinds(app string, kinds []schema.GroupKind) {
	for _, kind := range kinds {
		if text := kind.String(); !slices.Contains(r.Kinds[app], text) {
			r.Kinds[app] = append(r.Kinds[app], text)
		}
	}
	slices.Sort(r.Kinds[app])
}

// kinds returns those in which an app may have objects, in order.
func (r *Record) kinds(app string) []schema.GroupKind {
	kinds := make([]schema.GroupKind, 0, len(r.Kinds[app]))
	for _, text := range r.Kinds[app] {
		kinds = append(kinds, schema.ParseGroupKind(text))
	}
	return kinds
}

// kinds returns those in which any app may have objects, in order.
func (s *recordStore) kinds() []schema.GroupKind {
	if s.all == nil {
		seen := map[string]bool{}
		for _, texts := range s.record.Kinds {
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
