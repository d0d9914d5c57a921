// Package people knows who may use a hub: the users of a file beside the
// authority's key, with their groups, hashed passwords and hashed tokens, and who
// has logged in. What groups may do is said in Git, and becomes [Rights]. The main
// type is [Directory], which answers whose a token is; [File] is what nave user
// changes. The package speaks no network; package gate does.
package people

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"nave.dev/internal/strictyaml"
)

// FileName is the name of the file of people in its directory.
const FileName = "people.yaml"

// User is somebody who may be let in, or a program.
type User struct {
	Name string `json:"name"`
	// Groups that the user is in. The Fleet says what these may do.
	Groups []string `json:"groups,omitempty"`
	// Password is a hash in the form of PHC, of Argon2id; empty lets nobody log in.
	Password string  `json:"password,omitempty"`
	Tokens   []Token `json:"tokens,omitempty"`
}

// Token is what is kept of a token: not the token, which nothing can be made of it.
type Token struct {
	Name    string    `json:"name"` // one of the user's
	SHA256  string    `json:"sha256"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Person is somebody who has shown who they are.
type Person struct {
	Name   string   `json:"name"`
	Groups []string `json:"groups"`
	// Token is the name of the token that was shown; empty after a login by password.
	Token   string    `json:"token,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // when the token no longer counts
}

// content is all of a file.
type content struct {
	Users []User `json:"users"`
}

var (
	userName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?$`)
	groupName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
)

const nameHint = `lower-case letters, digits, "-" and ".", at most 63 characters`

// read returns what the file at path says, and nothing if there is none. An error
// has file and line.
func read(path string) (content, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return content{}, nil
	}
	if err != nil {
		return content{}, fmt.Errorf("reading the file of people: %w", err)
	}
	return decode(path, data)
}

func decode(path string, data []byte) (content, error) {
	var c content
	doc, problems := strictyaml.Decode(path, data, &c)
	if len(problems) == 0 {
		problems = c.check(doc)
	}
	if err := problems.Err(); err != nil {
		return content{}, err
	}
	return c, nil
}

// check returns all that is wrong with the content.
func (c content) check(doc *strictyaml.Document) (problems strictyaml.Problems) {
	wrong := func(at, hint, format string, args ...any) {
		problems = append(problems, doc.Problem(at, format, args...).WithHint("%s", hint))
	}
	names, hashes := map[string]bool{}, map[string]bool{}
	for i, user := range c.Users {
		at := fmt.Sprintf("users[%d]", i)
		switch {
		case !userName.MatchString(user.Name):
			wrong(at+".name", nameHint+`, also "_" and "@"`, "%q is not the name of a user", user.Name)
		case names[user.Name]:
			wrong(at+".name", "remove one of them", "there is another user %q", user.Name)
		}
		names[user.Name] = true
		for j, group := range user.Groups {
			if !groupName.MatchString(group) {
				wrong(fmt.Sprintf("%s.groups[%d]", at, j), nameHint, "%q is not the name of a group", group)
			}
		}
		if user.Password != "" {
			if _, err := parseHash(user.Password); err != nil {
				wrong(at+".password", "nave user passwd makes one", "%v", err)
			}
		}
		for j, token := range user.Tokens {
			at := fmt.Sprintf("%s.tokens[%d]", at, j)
			if !groupName.MatchString(token.Name) {
				wrong(at+".name", nameHint, "%q is not the name of a token", token.Name)
			}
			if slices.IndexFunc(user.Tokens, func(t Token) bool { return t.Name == token.Name }) < j {
				wrong(at+".name", "remove one of them", "there is another token %q of %q", token.Name, user.Name)
			}
			sum, err := hex.DecodeString(token.SHA256)
			switch {
			case err != nil || len(sum) != sumSize:
				wrong(at+".sha256", "nave user token makes one", "is not a SHA-256 in hexadecimal digits")
			case hashes[string(sum)]:
				wrong(at+".sha256", "make each a token of its own", "is that of another token")
			}
			hashes[string(sum)] = true
			if token.Expires.IsZero() {
				wrong(at+".expires", "such as 2030-01-31T00:00:00Z: every token ends", "is missing")
			}
		}
	}
	return problems
}

// path is where the people of a directory are.
func path(dir string) string { return filepath.Join(dir, FileName) }
