package commitsig

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Signers are the keys that may sign, as in the ALLOWED SIGNERS file of ssh-keygen.
type Signers struct{ list []signer }

// signer is one line of the file.
type signer struct {
	principals    string
	key           []byte // in the wire format
	after, before time.Time
}

// namespace is what Git signs commits for.
const namespace = "git"

// ParseSigners reads an allowed signers file: a line each of principals, options and a public key, as ssh-keygen(1)
// says. The options namespaces, valid-after and valid-before are known; times without a zone are UTC, so that every
// machine reads them alike. Certificate authorities are not supported. The error joins what is wrong with all lines.
func ParseSigners(data []byte) (*Signers, error) {
	signers := &Signers{}
	var problems []error
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		s, forGit, err := parseSigner(string(line))
		if err != nil {
			problems = append(problems, fmt.Errorf("allowed signers, line %d: %w", number, err))
		} else if forGit {
			signers.list = append(signers.list, s)
		}
	}
	return signers, errors.Join(problems...)
}

// parseSigner reads one line and tells whether it is about Git.
func parseSigner(line string) (s signer, forGit bool, err error) {
	principals, rest, ok := cutPrincipals(line)
	if !ok {
		return signer{}, false, errors.New("it is not principals, options and a key")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return signer{}, false, fmt.Errorf("reading the key: %w", err)
	}
	if strings.Contains(key.Type(), "-cert-") || key.Type() == "ssh-dss" {
		return signer{}, false, fmt.Errorf("keys of type %s are not supported", key.Type())
	}
	s, forGit = signer{principals: principals, key: key.Marshal()}, true
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "namespaces":
			forGit, err = matches(value, namespace)
		case "valid-after":
			s.after, err = parseTime(value)
		case "valid-before":
			s.before, err = parseTime(value)
		default:
			err = fmt.Errorf("option %q is not supported", name)
		}
		if err != nil {
			return signer{}, false, err
		}
	}
	return s, forGit, nil
}

// cutPrincipals splits a line after its first word, which may be quoted.
func cutPrincipals(line string) (principals, rest string, ok bool) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		principals, rest, ok = strings.Cut(quoted, `"`)
		return principals, rest, ok && principals != ""
	}
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i:], true
}

// matches reports whether name fits a list of patterns with * and ?, of which those with ! exclude.
func matches(patterns, name string) (bool, error) {
	matched := false
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern, not := strings.CutPrefix(pattern, "!")
		if strings.ContainsAny(pattern, `[\`) {
			return false, fmt.Errorf("pattern %q is not supported", pattern)
		}
		fits, err := path.Match(pattern, name)
		if err != nil {
			return false, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if fits && not {
			return false, nil
		}
		matched = matched || fits
	}
	return matched, nil
}

// parseTime reads YYYYMMDD[HHMM[SS]], with an optional Z.
func parseTime(value string) (time.Time, error) {
	digits := strings.TrimSuffix(value, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.Parse(layout, digits); err == nil && len(digits) == len(layout) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q is not YYYYMMDD[HHMM[SS]][Z]", value)
}
