package spoke

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"nave.dev/internal/apply"
	"nave.dev/internal/spoke/record"
)

// refuses says why an assignment is not to be taken, or nothing.
func (s *session) refuses(a *Assigned) error {
	accepted := s.records.Record
	switch {
	case a.Fleet != "" && a.Fleet != s.spoke.opts.Fleet:
		return fmt.Errorf("the assignment is of fleet %q, and the cluster of %q", a.Fleet, s.spoke.opts.Fleet)
	case a.Number != 0 && a.Number < accepted.Number && a.Digest() != accepted.Digest:
		return fmt.Errorf("assignment %d is older than %d, which the cluster has accepted", a.Number, accepted.Number)
	}
	return nil
}

// refuse has an assignment not be taken, and tells why, once.
func (s *session) refuse(why error) {
	if s.refused == nil || s.refused.Error() != why.Error() {
		s.event("", EventFailed, why.Error(), nil)
	}
	s.refused = why
}

// accept writes the assignment's number, and the kinds that its apps bring, into
// the cluster record before anything of it is applied.
func (s *session) accept(ctx context.Context) error {
	expired := func(p Pause) bool { return !s.now().Before(p.Until) }
	if s.accepted == s.assigned && !slices.ContainsFunc(s.records.Record.Pauses, expired) && !s.tidies() {
		return nil
	}
	tooLarge := (*record.SizeError)(nil)
	if errors.As(s.refused, &tooLarge) && s.now().Sub(s.tidied) < recordCheck {
		return nil
	}
	if err := s.refuses(s.assigned); err != nil {
		s.refuse(err) // another writer has accepted a newer one
		return nil
	}
	s.tidied = s.now()
	digest := s.assigned.Digest()
	var fresh []string // apps that the cluster never had
	err := s.records.Change(ctx, func(r *record.Record) {
		switch {
		case digest == r.Digest:
		case s.assigned.Number == 0:
			r.Number++
		default:
			r.Number = max(r.Number, s.assigned.Number)
		}
		r.Digest = digest
		fresh = nil
		for _, name := range s.names {
			if w := s.apps[name]; w.bundle != nil {
				r.AddKinds(name, apply.Kinds(apply.Target{Bundle: w.bundle, Options: w.options}))
				if at, applied := slices.BinarySearch(r.Applied, name); !applied {
					r.Applied = slices.Insert(r.Applied, at, name)
					fresh = append(fresh, name)
				}
			}
		}
		r.Pauses = slices.DeleteFunc(r.Pauses, expired)
		if s.assigned.Incomplete == nil {
			maps.DeleteFunc(r.Confirmed, func(name, _ string) bool { return s.apps[name] == nil })
			maps.DeleteFunc(r.Asked, func(name string, _ record.Asked) bool { return s.apps[name] == nil })
			r.NoteLeft(func(name string) bool { return s.apps[name] != nil }, s.now())
			r.Forget(func(name string) bool { return s.nothingOf(r, name) }, s.now())
		}
	})
	if errors.As(err, &tooLarge) {
		s.refuse(err) // what was accepted before stays on record, and the cluster as it is
		return nil
	}
	if err != nil {
		return err
	}
	s.accepted, s.refused = s.assigned, nil
	for _, name := range fresh {
		s.apps[name].fresh = true
	}
	for _, kind := range s.records.Kinds() {
		s.watches.Begin(ctx, kind)
	}
	s.watchHooks(ctx)
	s.releaseHooks(ctx)
	return nil
}

// nothingOf reports whether the cluster has nothing with the marks of an app that
// left, as is known only while all kinds in which a record says that it may have
// something are watched, in all namespaces. One that is not served may be again, with its objects.
func (s *session) nothingOf(r *record.Record, name string) bool {
	if s.apps[name] != nil || s.tracked.Has(name) {
		return false
	}
	return !slices.ContainsFunc(r.KindsOf(name), func(kind schema.GroupKind) bool {
		return !s.listed[kind] || s.trouble[kind] || s.rights.IsNarrow(kind)
	})
}

// tidies reports whether it is time to look for apps that the record may forget.
func (s *session) tidies() bool {
	return len(s.records.Record.Left) > 0 && s.refused == nil && s.assigned.Incomplete == nil && s.now().Sub(s.tidied) >= recordCheck
}
