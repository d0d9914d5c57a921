package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"nave.dev/internal/atomicfile"
)

// Why nobody was logged in.
var (
	// ErrWrong says that name and password do not go together, whichever it is.
	ErrWrong = errors.New("no user of this name has this password")
	// ErrTooMany says that there were too many failed logins of the user, or from the
	// address.
	ErrTooMany = errors.New("too many failed logins\nhint: try again in some minutes")
	// ErrBusy says that others are being logged in, one after another.
	ErrBusy = errors.New("too many logins at once\nhint: try again")
)

const (
	// LoginLife is how long a login counts.
	LoginLife = 12 * time.Hour

	loginPatience = 5 * time.Second
	loginsOfUser  = 20 // of more, the oldest end
)

// login is what is kept of a token that was made by a login.
type login struct {
	User    string    `json:"user"`
	SHA256  string    `json:"sha256"`
	Expires time.Time `json:"expires"`
	// Password tells one hash of a password from another, so that a login ends with
	// the password that it was made by.
	Password string `json:"password"`
}

// of reports whether a login is one of the user with the present password.
func (l login) of(u User) bool { return u.Password != "" && l.Password == sumOf(u.Password) }

func readLogins(file string) (logins []login, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &logins)
	}
	if err != nil {
		return nil, fmt.Errorf("reading who has logged in, who have to do so again: %w", err)
	}
	return logins, nil
}

// Login makes a token for who knows a user's password, if too many did not lately:
// of the user, or from the address. Errors are ErrWrong, ErrTooMany, ErrBusy, and
// those of the disk.
func (d *Directory) Login(ctx context.Context, name, password, address string) (secret string, _ Person, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, loginPatience, ErrBusy)
	defer cancel()
	select {
	case d.turn <- struct{}{}: // one after another: guesses are counted, and take the memory of one
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return "", Person{}, ErrBusy
	}
	now := d.opts.Now()
	if !d.limits.may(name, address, now) {
		return "", Person{}, ErrTooMany
	}
	user, _ := d.user(name)
	if len(password) > mostPassword {
		password = "" // which nobody has
	}
	if !matches(password, user.Password) {
		d.limits.failed(name, address, now)
		return "", Person{}, ErrWrong
	}
	secret, sum := newSecret()
	l := login{User: name, SHA256: sum, Expires: now.Add(LoginLife).UTC().Truncate(time.Second), Password: sumOf(user.Password)}
	err = d.keep(func(logins []login) []login {
		own := 0
		for i := len(logins) - 1; i >= 0; i-- {
			if logins[i].User != name {
				continue
			}
			if own++; own >= loginsOfUser {
				logins = slices.Delete(logins, i, i+1)
			}
		}
		return append(logins, l)
	})
	return secret, Person{Name: name, Groups: user.Groups, Expires: l.Expires}, err
}

// Logout ends the login that a token was made by. A token of the file stays.
func (d *Directory) Logout(secret string) error {
	sum := sumOf(secret)
	return d.keep(func(logins []login) []login {
		return slices.DeleteFunc(logins, func(l login) bool { return l.SHA256 == sum })
	})
}

// keep changes the logins, those that have ended aside, once they are on the disk.
func (d *Directory) keep(edit func([]login) []login) error {
	now := d.opts.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	next := edit(slices.DeleteFunc(slices.Clone(d.logins), func(l login) bool { return !now.Before(l.Expires) }))
	data, err := json.Marshal(next)
	if err == nil {
		err = atomicfile.WriteDurably(d.opts.Logins, data)
	}
	if err != nil {
		return fmt.Errorf("keeping who has logged in: %w", err)
	}
	d.logins = next
	return nil
}
