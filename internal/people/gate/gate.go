package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/people"
	"nave.dev/internal/people/audit"
	"nave.dev/internal/store"
)

// Paths that the gate answers itself.
const (
	// LoginPath takes a Login by POST and answers a LoggedIn.
	LoginPath = "/api/v1/login"
	// LogoutPath ends the login whose token comes with the POST.
	LogoutPath = "/api/v1/logout"
	// WhoamiPath answers a Whoami.
	WhoamiPath = "/api/v1/whoami"
)

// Login is a name and a password.
type Login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// LoggedIn is the token of a login, and whose it is.
type LoggedIn struct {
	Token string `json:"token"`
	people.Person
}

// Whoami is who somebody is to the hub, and what they may do.
type Whoami struct {
	people.Person
	Owner  bool     `json:"owner,omitempty"`
	Rights []string `json:"rights"` // in words
}

// Need is what a call asks of the caller: a role on each cluster that the query
// names, or, if it names none, on any, where the answer is cut to those that the
// caller has it on.
type Need struct {
	Role v1alpha1.Role
	// Everywhere wants the role on all clusters.
	Everywhere bool
}

// Gate knows who may call.
type Gate struct {
	People *people.Directory
	// Policy is what groups may do now.
	Policy func() people.Policy
	// Labels are those of a cluster; none if it is not known.
	Labels func(cluster string) map[string]string
	// Needs has what calls ask for, by the pattern of their handler. One that is not
	// there needs an admin of all clusters.
	Needs map[string]Need
	Audit *audit.Log

	again time.Duration // askAgain, if zero
}

// Bounds of the body of a call in bytes, and of how long it may take to come.
const (
	maxBody     = 1 << 20
	maxLogin    = 8 << 10
	bodyTimeout = 30 * time.Second
)

// take reads all of the body of a call, so that who sends slowly is held to a time
// which who waits for news is not. A GET has none: what looks like a form in it could
// name another cluster than the query does.
func take(w http.ResponseWriter, r *http.Request, most int64) error {
	if r.Method != http.MethodPost {
		r.Body = http.NoBody
		return nil
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer control.SetReadDeadline(time.Time{})
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// Owner serves calls that come by the hub's socket.
func Owner(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == WhoamiPath {
			answer(w, Whoami{Owner: true, Rights: people.Everything().List()})
			return
		}
		caller := Caller{Owner: true, Rights: people.Everything()}
		next.ServeHTTP(w, r.WithContext(caller.in(r.Context())))
	})
}

// Remote serves calls that come over a network, of those that show a token.
func (g *Gate) Remote(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Strict-Transport-Security", "max-age=31536000")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if r.URL.Path == LoginPath {
			g.login(w, r)
			return
		}
		caller, ok := g.caller(r)
		if !ok {
			header.Set("WWW-Authenticate", "Bearer")
			http.Error(w, "not logged in\nhint: nave login", http.StatusUnauthorized)
			return
		}
		if err := take(w, r, maxBody); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch r.URL.Path {
		case WhoamiPath:
			answer(w, Whoami{Person: caller.Person, Rights: caller.Rights.List()})
			return
		case LogoutPath:
			g.logout(w, r, caller)
			return
		}
		_, pattern := mux.Handler(r)
		need, known := g.Needs[pattern]
		if !known {
			need = Need{Role: v1alpha1.RoleAdmin, Everywhere: true}
		}
		caller.role = need.Role
		clusters := r.URL.Query()["cluster"]
		if len(clusters) == 0 {
			clusters = []string{""}
		}
		for _, cluster := range clusters {
			if lacks := g.lacks(caller, need, cluster); lacks != "" {
				g.Forbid(w, r, caller, store.Entry{Cluster: cluster}, lacks)
				return
			}
		}
		ctx, done := g.while(r.Context(), caller, need, clusters)
		defer done()
		mux.ServeHTTP(w, r.WithContext(caller.in(ctx)))
	})
}

// lacks says what the caller of a request lacks for it, if anything.
func (g *Gate) lacks(c Caller, need Need, cluster string) string {
	has, where := c.Rights.Anywhere(), "on a cluster"
	switch {
	case need.Everywhere:
		has, where = c.Rights.Everywhere(), "on all clusters"
	case cluster != "":
		has, where = c.Rights.On(cluster, g.Labels(cluster)), "on the cluster "+strconv.Quote(cluster)
	}
	if people.Includes(has, need.Role) {
		return ""
	}
	return c.Lacks(where, has)
}

// Forbid answers that a caller may not do something, and has it written down. The
// entry has what is known of it beside who wants to do what.
func (g *Gate) Forbid(w http.ResponseWriter, r *http.Request, c Caller, entry store.Entry, lacks string) {
	why, _, _ := strings.Cut(lacks, "\n")
	entry.Actor, entry.Address, entry.Action = c.Name, c.Address, Action(r)
	g.Audit.Refused(r.Context(), entry, why)
	http.Error(w, lacks, http.StatusForbidden)
}

// Action is what a request asks for, as the audit calls it: the end of its path, or
// all of it where that is no part of the API.
func Action(r *http.Request) string {
	if name, ok := strings.CutPrefix(r.URL.Path, "/api/v1/"); ok {
		return name
	}
	return r.URL.Path
}

// caller finds out who calls.
func (g *Gate) caller(r *http.Request) (Caller, bool) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if secret = strings.TrimSpace(secret); secret == "" || !strings.EqualFold(scheme, "Bearer") {
		return Caller{}, false // who shows nothing is not worth a line
	}
	address := addressOf(r)
	person, ok := g.People.ByToken(secret)
	if !ok {
		g.Audit.Refused(r.Context(), store.Entry{Action: Action(r), Address: address}, "a token that does not count")
		return Caller{}, false
	}
	return Caller{Person: person, Address: address, Rights: g.Policy().Of(person.Groups), secret: secret}, true
}

func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// login makes a token for who knows a password.
func (g *Gate) login(w http.ResponseWriter, r *http.Request) {
	var asked Login
	if r.Method != http.MethodPost {
		http.Error(w, "logging in is a POST", http.StatusMethodNotAllowed)
		return
	}
	if err := errors.Join(take(w, r, maxLogin), json.NewDecoder(r.Body).Decode(&asked)); err != nil {
		http.Error(w, "a login is {\"name\": …, \"password\": …}", http.StatusBadRequest) // nothing of it is repeated
		return
	}
	entry := store.Entry{Actor: asked.Name, Action: "login", Address: addressOf(r)}
	secret, person, err := g.People.Login(r.Context(), asked.Name, asked.Password, entry.Address)
	if !g.People.Known(asked.Name) {
		entry.Actor = "(nobody)" // it may be a password, typed where the name goes
	}
	switch {
	case errors.Is(err, people.ErrWrong):
		g.Audit.Refused(r.Context(), entry, err.Error())
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	case errors.Is(err, people.ErrTooMany), errors.Is(err, people.ErrBusy):
		why, _, _ := strings.Cut(err.Error(), "\n")
		g.Audit.Refused(r.Context(), entry, why)
		w.Header().Set("Retry-After", "60")
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	given := func() (any, error) { return map[string]time.Time{"expires": person.Expires}, nil }
	if err := g.Audit.Do(r.Context(), entry, given); err != nil {
		err = errors.Join(err, g.People.Logout(secret))
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	answer(w, LoggedIn{Token: secret, Person: person})
}

// logout ends the caller's login.
func (g *Gate) logout(w http.ResponseWriter, r *http.Request, c Caller) {
	if r.Method != http.MethodPost {
		http.Error(w, "logging out is a POST", http.StatusMethodNotAllowed)
		return
	}
	if err := g.People.Logout(c.secret); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	answer(w, struct{}{})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}
