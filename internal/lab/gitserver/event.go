package gitserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"nave.dev/internal/lab/gitserver/webhook"
)

// pushEvent is the body of GitHub's "push" webhook event, as far as it has a meaning here.
type pushEvent struct {
	Ref        string          `json:"ref"`
	Before     string          `json:"before"`
	After      string          `json:"after"`
	Created    bool            `json:"created"`
	Deleted    bool            `json:"deleted"`
	Forced     bool            `json:"forced"`
	Repository eventRepository `json:"repository"`
	Pusher     eventPusher     `json:"pusher"`
	HeadCommit *eventCommit    `json:"head_commit"`
	Commits    []eventCommit   `json:"commits"` // oldest first, at most maxCommits
}

type eventRepository struct {
	Name          string `json:"name"`
	FullName      string `json:"full_name"`
	HTMLURL       string `json:"html_url"`
	CloneURL      string `json:"clone_url"`
	DefaultBranch string `json:"default_branch"`
}

type eventPusher struct {
	Name string `json:"name"`
}

type eventCommit struct {
	ID        string      `json:"id"`
	TreeID    string      `json:"tree_id"`
	Message   string      `json:"message"`
	Timestamp string      `json:"timestamp"` // of the committer, RFC 3339
	Author    eventPerson `json:"author"`
	Committer eventPerson `json:"committer"`
	Added     []string    `json:"added"`
	Removed   []string    `json:"removed"`
	Modified  []string    `json:"modified"`
}

type eventPerson struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

func isBranch(ref string) bool { return strings.HasPrefix(ref, "refs/heads/") }
func isTag(ref string) bool    { return strings.HasPrefix(ref, "refs/tags/") }

// cloneURL is the address of a repository as others may use it.
func (s *Server) cloneURL(r *http.Request, name string) string {
	base := strings.TrimSuffix(s.opts.URL, "/")
	if base == "" {
		u := url.URL{Scheme: "http", Host: r.Host}
		if r.TLS != nil {
			u.Scheme = "https"
		}
		base = u.String()
	}
	return base + "/" + name + ".git"
}

// announce queues an event for every branch and tag that a push moved. An event whose commits cannot be read goes out
// without them, since where the ref is now is what receivers act on, and the error says why.
func (s *Server) announce(ctx context.Context, done finishedPush) error {
	if !s.outbox.HasHooks() {
		return nil
	}
	head, err := s.git.head(ctx, done.dir)
	problems := []error{err}
	for _, m := range done.Moves {
		if !isBranch(m.Ref) && !isTag(m.Ref) {
			continue
		}
		e := pushEvent{
			Ref: m.Ref, Before: m.Before, After: m.After,
			Created: m.Created(), Deleted: m.Deleted(),
			Repository: eventRepository{
				Name:          path.Base(done.Repository),
				FullName:      done.Repository,
				HTMLURL:       strings.TrimSuffix(done.clone, ".git"),
				CloneURL:      done.clone,
				DefaultBranch: strings.TrimPrefix(head, "refs/heads/"),
			},
			Pusher: eventPusher{Name: done.Pusher},
		}
		if err := s.fill(ctx, &e, done); err != nil {
			problems = append(problems, fmt.Errorf("describing push to %s: %w", m.Ref, err))
		}
		payload, err := json.Marshal(e)
		if err != nil {
			problems = append(problems, fmt.Errorf("encoding event for %s: %w", m.Ref, err))
			continue
		}
		s.outbox.Enqueue(webhook.Event{
			Name: "push", Payload: payload,
			Repository: done.Repository, Ref: m.Ref, Before: m.Before, After: m.After,
		})
	}
	return errors.Join(problems...)
}

// fill adds what only the repository's history tells.
func (s *Server) fill(ctx context.Context, e *pushEvent, done finishedPush) error {
	e.Commits = []eventCommit{}
	if e.Deleted {
		return nil
	}
	h := history{git: s.git, dir: done.dir}
	tip, err := h.commit(ctx, e.Ref, e.After)
	if err != nil || tip == "" {
		return err
	}

	known := []string{e.Before}
	if e.Created {
		known = known[:0]
		for _, id := range done.before {
			known = append(known, id)
		}
	}
	commits, err := h.between(ctx, known, tip)
	if err != nil {
		return err
	}
	// What is new to the ref starts with its tip; nothing is new if the ref was created on, or moved back to, a known
	// commit.
	e.Commits = commits
	if len(commits) > 0 {
		e.HeadCommit = &commits[len(commits)-1]
	} else if e.HeadCommit, err = h.one(ctx, tip); err != nil {
		return err
	}

	switch {
	case e.Created:
	case isTag(e.Ref):
		e.Forced = true
	default:
		kept, err := s.git.isAncestor(ctx, done.dir, e.Before, e.After)
		if err != nil {
			return err
		}
		e.Forced = !kept
	}
	return nil
}
