package gitsource

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Commit is what people want to know of one.
type Commit struct {
	Hash    string
	Parents []string
	Author  string    // "Name <address>"
	Time    time.Time // when it was committed
	Subject string    // the first line of its message
}

// Commit describes a commit, named by its full hash.
func (m *Mirror) Commit(ctx context.Context, hash string) (Commit, error) {
	data, err := m.commit(ctx, hash)
	if err != nil {
		return Commit{}, err
	}
	c, err := parseCommit(string(data))
	if err != nil {
		return Commit{}, fmt.Errorf("reading commit %s of source %q: %w", hash, m.source, err)
	}
	c.Hash = hash
	return c, nil
}

// parseCommit reads a commit object. What is not UTF-8 in it is replaced.
func parseCommit(data string) (c Commit, err error) {
	header, message, _ := strings.Cut(strings.ToValidUTF8(data, "\ufffd"), "\n\n")
	for line := range strings.SplitSeq(header, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "parent":
			c.Parents = append(c.Parents, value)
		case "author":
			c.Author, _, err = cutTime(value)
		case "committer":
			_, c.Time, err = cutTime(value)
		}
		if err != nil {
			return Commit{}, err
		}
	}
	c.Subject, _, _ = strings.Cut(strings.TrimLeft(message, "\n"), "\n")
	return c, nil
}

// cutTime splits "NAME <ADDRESS> SECONDS ZONE".
func cutTime(person string) (name string, t time.Time, err error) {
	name, when, ok := strings.Cut(person, "> ")
	seconds, _, _ := strings.Cut(when, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || err != nil {
		return "", time.Time{}, fmt.Errorf("%q is not a name and a time", person)
	}
	return name + ">", time.Unix(n, 0).UTC(), nil
}
