package people

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"nave.dev/internal/atomicfile"
)

// MaxTokenLife is how long a token can count at most.
const MaxTokenLife = 366 * 24 * time.Hour

// File is the file of people in a directory, to be changed. Several may change it
// at once: one waits for the other. A change is there in whole or not at all, and
// a file that is not understood is left as it is.
type File struct{ Dir string }

// Users returns the users of the file, by name.
func (f File) Users() ([]User, error) {
	c, err := read(path(f.Dir))
	slices.SortFunc(c.Users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return c.Users, err
}

// Add adds a user. Without a password nobody can log in as the user, who may have
// tokens.
func (f File) Add(name string, groups []string, password string) error {
	if !userName.MatchString(name) {
		return fmt.Errorf("%q cannot be the name of a user\nhint: %s, also \"_\" and \"@\"", name, nameHint)
	}
	for _, group := range groups {
		if !groupName.MatchString(group) {
			return fmt.Errorf("%q cannot be the name of a group\nhint: %s", group, nameHint)
		}
	}
	user := User{Name: name, Groups: groups}
	if password != "" {
		var err error
		if user.Password, err = newHash(password); err != nil {
			return err
		}
	}
	return f.change(func(c *content) error {
		if c.find(name) != nil {
			return fmt.Errorf("there is a user %q already", name)
		}
		c.Users = append(c.Users, user)
		return nil
	})
}

// Remove removes a user, whose tokens and logins then no longer count.
func (f File) Remove(name string) error {
	return f.user(name, func(c *content, u *User) error {
		c.Users = slices.DeleteFunc(c.Users, func(u User) bool { return u.Name == name })
		return nil
	})
}

// SetPassword gives a user another password. Who logged in with the one before has
// to log in again; tokens stay.
func (f File) SetPassword(name, password string) error {
	text, err := newHash(password)
	if err != nil {
		return err
	}
	return f.user(name, func(_ *content, u *User) error {
		u.Password = text
		return nil
	})
}

// AddToken makes a token of a user that counts for a time, and returns it: it is not
// kept, and cannot be shown again.
func (f File) AddToken(user, name string, life time.Duration, now time.Time) (secret string, err error) {
	switch {
	case !groupName.MatchString(name):
		return "", fmt.Errorf("%q cannot be the name of a token\nhint: %s", name, nameHint)
	case life <= 0 || life > MaxTokenLife:
		return "", fmt.Errorf("a token counts for more than nothing and at most %s", MaxTokenLife)
	}
	secret, sum := newSecret()
	now = now.UTC().Truncate(time.Second)
	return secret, f.user(user, func(_ *content, u *User) error {
		if slices.ContainsFunc(u.Tokens, func(t Token) bool { return t.Name == name }) {
			return fmt.Errorf("%q has a token %q already\nhint: give it another --name, or remove that one with --remove", user, name)
		}
		u.Tokens = append(u.Tokens, Token{Name: name, SHA256: sum, Created: now, Expires: now.Add(life)})
		return nil
	})
}

// RemoveToken removes a token of a user, which then no longer counts.
func (f File) RemoveToken(user, name string) error {
	return f.user(user, func(_ *content, u *User) error {
		left := slices.DeleteFunc(slices.Clone(u.Tokens), func(t Token) bool { return t.Name == name })
		if len(left) == len(u.Tokens) {
			return fmt.Errorf("%q has no token %q\nhint: nave user list", user, name)
		}
		u.Tokens = left
		return nil
	})
}

func (c *content) find(name string) *User {
	for i := range c.Users {
		if c.Users[i].Name == name {
			return &c.Users[i]
		}
	}
	return nil
}

// user changes what there is of a user.
func (f File) user(name string, edit func(*content, *User) error) error {
	return f.change(func(c *content) error {
		u := c.find(name)
		if u == nil {
			return fmt.Errorf("there is no user %q\nhint: nave user list", name)
		}
		return edit(c, u)
	})
}

const heading = "# The people of a hub. nave user changes this file; what people write is read as well, but comments are lost.\n"

// change edits the file while nobody else does.
func (f File) change(edit func(*content) error) error {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(f.Dir, "people.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("changing the file of people: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	c, err := read(path(f.Dir))
	if err != nil {
		return err
	}
	if err := edit(&c); err != nil {
		return err
	}
	data, err := yaml.Marshal(c)
	if err == nil {
		_, err = decode(path(f.Dir), data)
	}
	if err == nil {
		owner, _ := os.Stat(path(f.Dir))
		if err = atomicfile.WriteDurably(path(f.Dir), append([]byte(heading), data...)); err == nil {
			err = f.give(owner)
		}
	}
	if err != nil {
		return fmt.Errorf("writing the file of people: %w", err)
	}
	return nil
}

// give has the file be read by whom the one before it, or the directory, belonged to:
// the hub, also where root changes the file.
func (f File) give(before fs.FileInfo) (err error) {
	if os.Geteuid() != 0 {
		return nil
	}
	if before == nil {
		if before, err = os.Stat(f.Dir); err != nil {
			return err
		}
	}
	owner := before.Sys().(*syscall.Stat_t)
	return os.Chown(path(f.Dir), int(owner.Uid), int(owner.Gid))
}
