package secret

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strings"
	"time"
)

// document is an encrypted file: its documents in their order, and what SOPS
// says of them. Values are mapping, []any, comment, string, int64, float64, bool,
// time.Time and nil.
type document struct {
	branches []mapping
	meta     metadata
}

// mapping is a mapping in the order of the file. Comments stand between its
// entries.
type mapping []entry

// entry is an entry of a mapping: a key with its value, or a comment alone.
type entry struct {
	key     string
	comment *comment
	value   any
}

// get returns the value of a key, or nil.
func (m mapping) get(key string) any {
	for _, e := range m {
		if e.comment == nil && e.key == key {
			return e.value
		}
	}
	return nil
}

// rules say which values of a file are encrypted. At most one of them is set.
type rules struct {
	unencryptedSuffix, encryptedSuffix   string
	unencryptedRegex, encryptedRegex     *regexp.Regexp
	unencryptedComment, encryptedComment *regexp.Regexp
}

func (r rules) byComment() bool { return r.unencryptedComment != nil || r.encryptedComment != nil }

// encrypts reports whether the value at a path is encrypted. The comments are
// those above it on each level; for a comment it is the last of them itself.
func (r rules) encrypts(path []string, comments [][]string, isComment bool) bool {
	suffixed := func(suffix string) bool {
		return slices.ContainsFunc(path, func(name string) bool { return strings.HasSuffix(name, suffix) })
	}
	switch {
	case r.unencryptedSuffix != "":
		return !suffixed(r.unencryptedSuffix)
	case r.encryptedSuffix != "":
		return suffixed(r.encryptedSuffix)
	case r.unencryptedRegex != nil:
		return !slices.ContainsFunc(path, r.unencryptedRegex.MatchString)
	case r.encryptedRegex != nil:
		return slices.ContainsFunc(path, r.encryptedRegex.MatchString)
	case r.unencryptedComment != nil:
		return !slices.ContainsFunc(comments, func(level []string) bool {
			return slices.ContainsFunc(level, r.unencryptedComment.MatchString)
		})
	case r.encryptedComment != nil:
		for i, level := range comments {
			if isComment && i == len(comments)-1 && len(level) > 0 {
				level = level[:len(level)-1] // the comment that says so stays readable
			}
			if slices.ContainsFunc(level, r.encryptedComment.MatchString) {
				return true
			}
		}
		return false
	}
	return true
}

// walker decrypts a document in place and computes its MAC on the way.
type walker struct {
	meta metadata
	key  []byte
	mac  hash.Hash
}

var errTampered = errors.New("its MAC is wrong: somebody changed the file without sops; restore it, or change it with sops edit")

// decrypt turns a document's values into plaintext and returns its data key. It
// is an error if the document is not as SOPS left it.
func (k *Keys) decrypt(doc *document) ([]byte, error) {
	key, err := k.dataKey(doc.meta)
	if err != nil {
		return nil, err
	}
	modified, err := time.Parse(time.RFC3339, doc.meta.modified)
	if err != nil {
		return nil, errors.New("its sops.lastmodified is no time")
	}
	stated, err := open(doc.meta.mac, key, modified.Format(time.RFC3339))
	if err != nil {
		return nil, errTampered
	}
	w := walker{doc.meta, key, sha512.New()}
	if doc.meta.macOnlyEncrypted {
		known := sha256.Sum256([]byte("sops")) // so that the two ways never give one MAC
		w.mac.Write(known[:])
	}
	for _, branch := range doc.branches {
		if err := w.mapping(branch, nil, nil); err != nil {
			return nil, err
		}
	}
	text, _ := stated.(string)
	if subtle.ConstantTimeCompare([]byte(text), fmt.Appendf(nil, "%X", w.mac.Sum(nil))) != 1 {
		return nil, errTampered
	}
	return key, nil
}

func (w walker) mapping(m mapping, path []string, comments [][]string) error {
	comments = append(comments, nil)
	above := &comments[len(comments)-1]
	for i, e := range m {
		if e.comment != nil {
			*above = append(*above, e.comment.text)
			value, err := w.leaf(*e.comment, path, comments)
			if err != nil {
				return err
			}
			text, ok := value.(comment)
			if !ok {
				return errors.New("a comment in it decrypts to something else; restore the file, or change it with sops edit")
			}
			m[i].comment = &text
			continue
		}
		value, err := w.value(e.value, append(slices.Clip(path), e.key), comments)
		if err != nil {
			return err
		}
		m[i].value = value
		*above = nil
	}
	return nil
}

func (w walker) list(list []any, path []string, comments [][]string) error {
	comments = append(comments, nil)
	above := &comments[len(comments)-1]
	for i, item := range list {
		text, isComment := item.(comment)
		if isComment {
			*above = append(*above, text.text)
		}
		value, err := w.value(item, path, comments)
		if err != nil {
			return err
		}
		list[i] = value
		if !isComment {
			*above = nil
		}
	}
	return nil
}

func (w walker) value(in any, path []string, comments [][]string) (any, error) {
	switch in := in.(type) {
	case nil:
		return nil, nil
	case mapping:
		return in, w.mapping(in, path, comments)
	case []any:
		return in, w.list(in, path, comments)
	}
	return w.leaf(in, path, comments)
}

// leaf returns a value in plaintext and adds it to the MAC. Comments do not count
// for it, and may have been left as they were by an older sops.
func (w walker) leaf(in any, path []string, comments [][]string) (any, error) {
	text, isComment := in.(comment)
	encrypted := w.meta.rules.encrypts(path, comments, isComment)
	out := in
	if encrypted {
		var err error
		switch in := in.(type) {
		case comment:
			if out, err = decryptValue(text.text, w.key, path); err != nil || out == "" {
				out = in
			}
		case string:
			if out, err = decryptValue(in, w.key, path); err != nil {
				return nil, fmt.Errorf("%s: %w; somebody changed the file without sops; restore it, or change it with sops edit", strings.Join(path, "."), err)
			}
		default:
			return nil, fmt.Errorf("%s is not encrypted; somebody changed the file without sops; restore it, or change it with sops edit", strings.Join(path, "."))
		}
	}
	if _, still := out.(comment); still || w.meta.macOnlyEncrypted && !encrypted {
		return out, nil
	}
	data, err := hashed(out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(path, "."), err)
	}
	w.mac.Write(data)
	return out, nil
}
