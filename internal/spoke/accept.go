package spoke

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nave.dev/internal/apply"
)

// refuses says why an assignment is not to be taken, or nothing.
func (s *session) refuses(a *Assigned) error {
	accepted := s.records.record
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
	if s.accepted == s.assigned && !slices.ContainsFunc(s.records.record.Pauses, expired) && !s.tidies() {
		return nil
	}
	tooLarge := (*recordSizeError)(nil)
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
	err := s.records.change(ctx, func(r *Record) {
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
				r.addKinds(name, apply.Kinds(apply.Target{Bundle: w.bundle, Options: w.options}))
				if at, applied := slices.BinarySearch(r.Applied, name); !applied {
					r.Applied = slices.Insert(r.Applied, at, name)
					fresh = append(fresh, name)
				}
			}
		}
		r.Pauses = slices.DeleteFunc(r.Pauses, expired)
		if s.assigned.Incomplete == nil {
			maps.DeleteFunc(r.Confirmed, func(name, _ string) bool { return s.apps[name] == nil })
			maps.DeleteFunc(r.Asked, func(name string, _ Asked) bool { return s.apps[name] == nil })
			r.noteLeft(func(name string) bool { return s.apps[name] != nil }, s.now())
			r.forget(func(name string) bool { return s.nothingOf(r, name) }, s.now())
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
	for _, kind := range s.records.kinds() {
		s.watch(ctx, kind)
	}
	s.watchHooks(ctx)
	s.releaseHooks(ctx)
	return nil
}
