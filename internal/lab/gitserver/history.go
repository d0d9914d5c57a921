package gitserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

const (
	maxCommits = 20
	// maxFiles is the number of files above which a commit lists none: receivers that look at paths must not take
	// part of a list for the whole.
	maxFiles = 3000
)

// history reads the commits of one repository for events.
type history struct {
	git *git
	dir string
}

// commit returns the commit that a ref's object stands for, or "" if a tag names something else.
func (h history) commit(ctx context.Context, ref, id string) (string, error) {
	if isBranch(ref) {
		return id, nil
	}
	out, err := h.git.run(ctx, h.dir, nil, "rev-parse", "--verify", "--quiet", id+"^{commit}")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", nil
	}
	return strings.TrimSpace(string(out)), err
}

// between returns the newest commits, oldest first, that the tip has and the known objects do not.
func (h history) between(ctx context.Context, known []string, tip string) ([]eventCommit, error) {
	var revisions strings.Builder
	fmt.Fprintln(&revisions, tip)
	for _, id := range known {
		fmt.Fprintln(&revisions, "^"+id)
	}
	out, err := h.git.run(ctx, h.dir, strings.NewReader(revisions.String()),
		"log", "--stdin", fmt.Sprintf("--max-count=%d", maxCommits), "-z", "--format="+logFormat)
	if err != nil {
		return nil, err
	}
	commits, err := parseLog(out)
	if err != nil {
		return nil, err
	}
	if err := h.addFiles(ctx, commits); err != nil {
		return nil, err
	}
	slices.Reverse(commits)
	return commits, nil
}

// one returns a single commit.
func (h history) one(ctx context.Context, id string) (*eventCommit, error) {
	out, err := h.git.run(ctx, h.dir, nil, "log", "--max-count=1", "-z", "--format="+logFormat, id)
	if err != nil {
		return nil, err
	}
	commits, err := parseLog(out)
	if err != nil {
		return nil, err
	}
	if len(commits) != 1 {
		return nil, fmt.Errorf("reading commit %s: git listed %d", id, len(commits))
	}
	return &commits[0], h.addFiles(ctx, commits)
}

// logFormat has the fields of a commit in the order in which parseLog reads them. With -z, each commit ends in NUL too.
const logFormat = "%H%x00%T%x00%cI%x00%an%x00%ae%x00%cn%x00%ce%x00%B"

const logFields = 8

// parseLog reads the output of git log in logFormat.
func parseLog(out []byte) ([]eventCommit, error) {
	commits := []eventCommit{}
	if len(out) == 0 {
		return commits, nil
	}
	fields := strings.Split(string(out), "\x00")
	last := len(fields) - 1
	if fields[last] != "" || last%logFields != 0 {
		return nil, fmt.Errorf("reading git log: %d fields do not make whole commits", last)
	}
	for f := fields[:last]; len(f) > 0; f = f[logFields:] {
		commits = append(commits, eventCommit{
			ID: f[0], TreeID: f[1], Timestamp: f[2],
			Author:    eventPerson{Name: f[3], Email: f[4]},
			Committer: eventPerson{Name: f[5], Email: f[6]},
			Message:   strings.TrimRight(f[7], "\n"),
			Added:     []string{}, Removed: []string{}, Modified: []string{},
		})
	}
	return commits, nil
}

// addFiles fills in which files each commit changed against its first parent.
func (h history) addFiles(ctx context.Context, commits []eventCommit) error {
	if len(commits) == 0 {
		return nil
	}
	var ids bytes.Buffer
	for _, c := range commits {
		fmt.Fprintln(&ids, c.ID)
	}
	out, err := h.git.run(ctx, h.dir, &ids,
		"diff-tree", "--stdin", "-z", "-r", "--root", "--no-renames", "--name-status", "--diff-merges=first-parent")
	if err != nil {
		return err
	}
	changed, err := parseDiffTree(out)
	if err != nil {
		return err
	}
	for i := range commits {
		files := changed[commits[i].ID]
		if len(files) > maxFiles {
			continue
		}
		for _, f := range files {
			list := &commits[i].Modified
			switch f.status {
			case 'A':
				list = &commits[i].Added
			case 'D':
				list = &commits[i].Removed
			}
			*list = append(*list, f.path)
		}
	}
	return nil
}

type changedFile struct {
	status byte // git's letter
	path   string
}

// parseDiffTree reads the output of git diff-tree --stdin -z --name-status: for each commit its id, then a status
// letter and a path for each file. An id is longer than a status, so that no path can be mistaken for either.
func parseDiffTree(out []byte) (map[string][]changedFile, error) {
	changed := map[string][]changedFile{}
	var commit string
	for len(out) > 0 {
		field, rest, ok := bytes.Cut(out, []byte{0})
		switch {
		case !ok || len(field) == 0:
			return nil, fmt.Errorf("reading git diff-tree: %q does not end in NUL or is empty", out)
		case len(field) > 1:
			commit, out = string(field), rest
			continue
		case commit == "":
			return nil, fmt.Errorf("reading git diff-tree: status %q before any commit", field)
		}
		path, rest, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return nil, fmt.Errorf("reading git diff-tree: status %q without a path", field)
		}
		changed[commit] = append(changed[commit], changedFile{status: field[0], path: string(path)})
		out = rest
	}
	return changed, nil
}
