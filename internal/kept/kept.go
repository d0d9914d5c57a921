// Package kept keeps on a cluster what the cluster was given, so that its agent
// goes on without a hub and without a disk. Bundles are in packs, Secrets that are
// named by their content and never changed; one more Secret, the index, has the
// assignment and says where each bundle is. The index is written after the packs
// that it names, and packs that it no longer names go after it: whenever the
// process is killed, there is the old assignment whole, or the new one.
package kept

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/protocol"
	"nave.dev/internal/spoke"
)

const (
	indexName  = "nave-kept"
	packPrefix = "nave-kept-"
	dataKey    = "data"
	// secretType is that of the index and of packs.
	secretType = "nave.dev/kept"
	// Label marks the index and the packs, and excluded keeps them out of backups: put
	// back into another cluster they would be another's.
	Label    = "nave.dev/kept"
	excluded = "velero.io/exclude-from-backup"
	// maxPack is how many bytes a pack has at most; a Secret takes a little more.
	maxPack = 900 << 10
)

// piece is where a part of a bundle is.
type piece struct {
	Pack   string `json:"pack"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
}

// index is the content of the index Secret.
type index struct {
	Assignment protocol.Assignment `json:"assignment"`
	// Bundles says of each, by digest, of which pieces it is made.
	Bundles map[string][]piece `json:"bundles"`
}

// DamageError says that what is kept cannot be read. The next Keep replaces it.
type DamageError struct{ err error }

// Error says what is wrong with it.
func (e *DamageError) Error() string { return "reading what the cluster keeps: " + e.err.Error() }

// Unwrap returns what is wrong with it.
func (e *DamageError) Unwrap() error { return e.err }

// ErrOther is in the error of Keep if another process has kept something since this
// one looked.
var ErrOther = errors.New("another agent works for this cluster")

// Store keeps the assignment of one cluster. It is for one goroutine.
type Store struct {
	client  kubernetes.Interface
	index   index
	version string         // of the index Secret; empty if there is none
	sizes   map[string]int // of the packs that are there
	most    int            // bytes of a pack
}

// New returns a Store that has read nothing.
func New(client kubernetes.Interface) *Store {
	return &Store{client: client, sizes: map[string]int{}, most: maxPack}
}

// Load reads what is kept, and returns it with the bundles that could be read. ok
// is false if nothing is kept. A bundle that is damaged is missing; an index that
// is damaged is as if there were none, and the error is a DamageError.
func (s *Store) Load(ctx context.Context) (a protocol.Assignment, bundles map[string]*app.Bundle, ok bool, err error) {
	secret, err := s.client.CoreV1().Secrets(spoke.Namespace).Get(ctx, indexName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return a, nil, false, nil
	}
	if err != nil {
		return a, nil, false, fmt.Errorf("reading what the cluster keeps: %w", err)
	}
	s.version = secret.ResourceVersion
	packs, err := s.list(ctx)
	if err != nil {
		return a, nil, false, err
	}
	found := index{}
	if err := protocol.Read(bytes.NewReader(secret.Data[dataKey]), &found); err != nil {
		return a, nil, false, &DamageError{err}
	}
	s.index = found
	bundles = map[string]*app.Bundle{}
	for digest, pieces := range found.Bundles {
		data, err := join(pieces, packs)
		var bundle *app.Bundle
		if err == nil {
			bundle, err = protocol.DecodeBundle(data, digest)
		}
		if err != nil {
			delete(s.index.Bundles, digest) // so that it is written again
			continue
		}
		bundles[digest] = bundle
	}
	return found.Assignment, bundles, true, nil
}

// join returns the bytes of pieces. A piece that is not there, or lies outside of
// its pack, is an error.
func join(pieces []piece, packs map[string][]byte) ([]byte, error) {
	var data []byte
	for _, p := range pieces {
		pack := packs[p.Pack]
		if p.Offset < 0 || p.Length < 0 || p.Offset > len(pack) || p.Length > len(pack)-p.Offset {
			return nil, fmt.Errorf("the pack %s has no bytes %d to %d", p.Pack, p.Offset, p.Offset+p.Length)
		}
		data = append(data, pack[p.Offset:p.Offset+p.Length]...)
	}
	return data, nil
}

// list reads the packs that are there.
func (s *Store) list(ctx context.Context) (map[string][]byte, error) {
	found, err := s.client.CoreV1().Secrets(spoke.Namespace).List(ctx, metav1.ListOptions{LabelSelector: Label + "=pack"})
	if err != nil {
		return nil, fmt.Errorf("listing what the cluster keeps: %w", err)
	}
	packs := map[string][]byte{}
	s.sizes = map[string]int{}
	for _, secret := range found.Items {
		name := secret.Name[min(len(packPrefix), len(secret.Name)):]
		packs[name], s.sizes[name] = secret.Data[dataKey], len(secret.Data[dataKey])
	}
	return packs, nil
}

// Has reports whether a bundle is kept.
func (s *Store) Has(digest string) bool { return s.index.Bundles[digest] != nil }

// Keep keeps an assignment in place of the one before. Bundles that are written are
// asked for, as protocol.EncodeBundle has them: those that are not kept yet, and
// those of packs that are mostly unused. With an error, what was kept before stays.
func (s *Store) Keep(ctx context.Context, a protocol.Assignment, bundle func(digest string) ([]byte, error)) error {
	next := index{Assignment: a, Bundles: map[string][]piece{}}
	used := map[string]int{} // bytes of each pack that are still needed
	for _, digest := range a.Bundles() {
		for _, p := range s.index.Bundles[digest] {
			used[p.Pack] += p.Length
		}
	}
	writer := &packer{most: s.most}
	for _, digest := range a.Bundles() {
		pieces := s.index.Bundles[digest]
		if pieces != nil && !slices.ContainsFunc(pieces, func(p piece) bool { return used[p.Pack] < s.sizes[p.Pack]/2 }) {
			next.Bundles[digest] = pieces
			continue
		}
		data, err := bundle(digest) // a new one, or one of a pack that is mostly unused
		if err != nil {
			return fmt.Errorf("keeping the bundle %s: %w", digest, err)
		}
		writer.add(digest, data)
	}
	fresh := writer.finish()
	for digest, pieces := range writer.placed {
		next.Bundles[digest] = pieces
	}
	for _, name := range slices.Sorted(maps.Keys(fresh)) {
		if err := s.create(ctx, name, fresh[name]); err != nil {
			return err
		}
	}
	if err := s.replace(ctx, next); err != nil {
		return err
	}
	s.index = next
	return s.sweep(ctx)
}

// create writes a pack. One of the name has the same content, unless somebody
// changed it.
func (s *Store) create(ctx context.Context, name string, data []byte) error {
	api := s.client.CoreV1().Secrets(spoke.Namespace)
	wanted := secret(packPrefix+name, "pack", data)
	_, err := api.Create(ctx, wanted, metav1.CreateOptions{FieldManager: object.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		_, err = api.Update(ctx, wanted, metav1.UpdateOptions{FieldManager: object.FieldManager})
	}
	if err != nil {
		return fmt.Errorf("keeping bundles on the cluster: %w", err)
	}
	s.sizes[name] = len(data)
	return nil
}

// replace writes the index.
func (s *Store) replace(ctx context.Context, next index) error {
	data, err := protocol.Compressed(next)
	if err != nil {
		return err
	}
	if len(data) > corev1.MaxSecretSize-(64<<10) {
		return fmt.Errorf("the assignment has %d bytes, and a Secret takes %d\nhint: give the cluster fewer apps", len(data), corev1.MaxSecretSize)
	}
	api := s.client.CoreV1().Secrets(spoke.Namespace)
	written := secret(indexName, "index", data)
	// Another process that wrote since is a newer one: what it kept stays.
	if written.ResourceVersion = s.version; s.version == "" {
		written, err = api.Create(ctx, written, metav1.CreateOptions{FieldManager: object.FieldManager})
	} else {
		written, err = api.Update(ctx, written, metav1.UpdateOptions{FieldManager: object.FieldManager})
	}
	if apierrors.IsNotFound(err) { // somebody deleted it
		s.version = ""
		return s.replace(ctx, next)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("keeping the assignment on the cluster: %w: %w", ErrOther, err)
	}
	if err != nil {
		return fmt.Errorf("keeping the assignment on the cluster: %w", err)
	}
	s.version = written.ResourceVersion
	return nil
}

// sweep removes the packs that the index does not name.
func (s *Store) sweep(ctx context.Context) error {
	needed := map[string]bool{}
	for _, pieces := range s.index.Bundles {
		for _, p := range pieces {
			needed[p.Pack] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.sizes)) {
		if needed[name] {
			continue
		}
		err := s.client.CoreV1().Secrets(spoke.Namespace).Delete(ctx, packPrefix+name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("removing what the cluster no longer needs to keep: %w", err)
		}
		delete(s.sizes, name)
	}
	return nil
}

func secret(name, kind string, data []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: spoke.Namespace, Name: name, Labels: map[string]string{Label: kind, excluded: "true"},
		},
		Type: secretType,
		Data: map[string][]byte{dataKey: data},
	}
}

// packer puts bundles into packs, one after another; one that does not fit into
// the rest of a pack goes on in the next.
type packer struct {
	most   int
	open   []byte
	places []place
	full   map[string][]byte // by name
	placed map[string][]piece
}

// place is a piece of a pack that has no name yet.
type place struct {
	digest         string
	offset, length int
}

func (p *packer) add(digest string, data []byte) {
	for len(data) > 0 {
		n := min(len(data), p.most-len(p.open))
		p.places = append(p.places, place{digest, len(p.open), n})
		p.open = append(p.open, data[:n]...)
		if data = data[n:]; len(p.open) == p.most {
			p.close()
		}
	}
}

// close names the open pack.
func (p *packer) close() {
	if len(p.open) == 0 {
		return
	}
	if p.full == nil {
		p.full, p.placed = map[string][]byte{}, map[string][]piece{}
	}
	sum := sha256.Sum256(p.open)
	name := hex.EncodeToString(sum[:16])
	p.full[name] = p.open
	for _, at := range p.places {
		p.placed[at.digest] = append(p.placed[at.digest], piece{Pack: name, Offset: at.offset, Length: at.length})
	}
	p.open, p.places = nil, nil
}

func (p *packer) finish() map[string][]byte {
	p.close()
	return p.full
}

// Size is what is kept, in numbers.
type Size struct{ Packs, Bytes int }

// Size returns how many packs there are, and how many bytes they have.
func (s *Store) Size() (size Size) {
	for _, n := range s.sizes {
		size.Packs++
		size.Bytes += n
	}
	return size
}
