package people

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"nave.dev/internal/strictyaml"
)

// Options configure a Directory.
type Options struct {
	// Dir has the file of people, which is read again when it changes. While there is
	// none, nobody is known.
	Dir string
	// Logins is the file in which the Directory keeps who has logged in.
	Logins string
	// Problem is told once what is wrong with a file. What was read before stays in
	// force.
	Problem func(error)
	Now     func() time.Time
}

// Directory answers who somebody is, by the file of people as it is at the moment.
// It may be used by several goroutines at once.
type Directory struct {
	opts   Options
	limits *limits
	turn   chan struct{} // held by the one login that is tried
	read   func(path string) (content, error)

	mu     sync.Mutex
	seen   fs.FileInfo // of what was read last; nil if there was no file, or it is to be read again
	told   string      // what was last wrong
	users  map[string]User
	tokens map[string]held // by their sums
	logins []login         // oldest first; not changed once made
}

// held is a token of the file and whose it is.
type held struct {
	Token
	user string
}

// Open reads the files of a directory. What is wrong with them is told to
// opts.Problem: it keeps nobody out who is known, and no hub from its clusters.
func Open(opts Options) *Directory {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	d := &Directory{opts: opts, limits: newLimits(), turn: make(chan struct{}, 1), read: read}
	logins, err := readLogins(opts.Logins)
	if err != nil {
		d.tell(err)
	}
	d.logins = logins
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	return d
}

func (d *Directory) tell(err error) {
	if d.opts.Problem != nil {
		d.opts.Problem(err)
	}
}

// refresh reads the file if it is another than before. One that cannot be read is
// tried again each time: what keeps it from being read may end without a change of the
// file. The Directory is locked.
func (d *Directory) refresh() {
	file := path(d.opts.Dir)
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		d.seen, d.users, d.tokens = nil, nil, nil
		return
	}
	if err == nil && d.seen != nil && os.SameFile(info, d.seen) && info.ModTime().Equal(d.seen.ModTime()) && info.Size() == d.seen.Size() {
		return
	}
	var c content
	if err == nil {
		c, err = d.read(file)
	}
	if d.seen = info; err != nil {
		if _, stays := errors.AsType[strictyaml.Problems](err); !stays {
			d.seen = nil
		}
		if d.told != err.Error() {
			d.told = err.Error()
			d.tell(err)
		}
		return
	}
	d.told = ""
	d.users, d.tokens = map[string]User{}, map[string]held{}
	for _, user := range c.Users {
		d.users[user.Name] = user
		for _, token := range user.Tokens {
			d.tokens[token.SHA256] = held{token, user.Name}
		}
	}
}

// user returns a user as the file has it now.
func (d *Directory) user(name string) (User, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	user, ok := d.users[name]
	return user, ok
}

// Known reports whether a user has the name.
func (d *Directory) Known(name string) bool {
	_, known := d.user(name)
	return known
}

// ByToken returns whose a token is, if it counts.
func (d *Directory) ByToken(secret string) (Person, bool) {
	now, sum := d.opts.Now(), sumOf(secret)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refresh()
	// The sum of a guess cannot be chosen, so that what a look-up's time tells of the
	// sums is of no use.
	if t, ok := d.tokens[sum]; ok && t.counts(now) {
		return Person{Name: t.user, Groups: d.users[t.user].Groups, Token: t.Name, Expires: t.Expires}, true
	}
	for _, l := range d.logins {
		if user, known := d.users[l.User]; l.SHA256 == sum && known && l.of(user) && now.Before(l.Expires) {
			return Person{Name: user.Name, Groups: user.Groups, Expires: l.Expires}, true
		}
	}
	return Person{}, false
}
