package rights

import (
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Waits before an app that lacks rights is looked at again without being asked to.
const (
	firstAgain = 2 * time.Second
	lastAgain  = time.Minute
)

// Standing is what is known of the rights that one app needs. The zero value is that
// nothing is.
type Standing struct {
	of      string // what the app was when that was asked
	missing []Rule
	err     error     // why it is not known what is missing
	again   time.Time // when that is asked again, if anything is or may be
	wait    time.Duration

	found   []Rule // needed besides
	foundOf string // what the app was when that was found
}

// Known reports whether nothing need be asked now about an app of this content.
func (s *Standing) Known(of string, now time.Time) bool {
	return s.of == of && (s.Held() == "" || now.Before(s.again))
}

// Missing returns the rights that the app lacks, as far as is known.
func (s *Standing) Missing() []Rule { return s.missing }

// Take takes in what an app of some content lacks, or why that could not be told, and
// reports whether the app is held for another reason than before. A cluster that does
// not let it be asked decides at each request.
func (s *Standing) Take(of string, missing []Rule, err error, now time.Time) (news bool) {
	before := s.Held()
	if apierrors.IsForbidden(err) {
		err = nil
	}
	s.of, s.missing, s.err = of, missing, err
	held := s.Held()
	news = held != "" && held != before
	if s.wait = min(2*s.wait, lastAgain); news || s.wait == 0 {
		s.wait = firstAgain
	}
	s.again = now.Add(s.wait)
	return news
}

// Doubt has the rights asked for again, since they may be others, and what is needed
// found out again.
func (s *Standing) Doubt() { s.of, s.wait, s.found = "", 0, nil }

// Held says why the app is held, with the rights that it lacks one a line, or nothing.
func (s *Standing) Held() string {
	if s.err != nil {
		return "held: which rights it has is not known: " + s.err.Error()
	}
	if len(s.missing) == 0 {
		return ""
	}
	return held(s.missing)
}

// held says that an app is held for rights that it lacks.
func held(missing []Rule) string {
	lines := make([]string, len(missing))
	for i, r := range missing {
		lines[i] = r.String()
	}
	head := "held: it lacks a right: "
	if len(lines) > 1 {
		head = fmt.Sprintf("held: it lacks %d rights: ", len(lines))
	}
	return head + strings.Join(lines, "\n") + "\nhint: nave cluster rights prints what gives them"
}
