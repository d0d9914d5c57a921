package authority

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Identity is whom an agent's certificate names.
type Identity struct {
	Fleet   string
	Cluster string
	Number  int64 // raised by every enrolment of the cluster, from 1
}

const scheme = "nave://"

// A name of a fleet or a cluster is the host or a path element of a URI as it stands.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

func isName(s string) bool { return len(s) <= 253 && namePattern.MatchString(s) }

// String is the URI that stands in certificates: nave://FLEET/CLUSTER/NUMBER.
func (i Identity) String() string {
	return scheme + i.Fleet + "/" + i.Cluster + "/" + strconv.FormatInt(i.Number, 10)
}

// Validate says what is wrong with an identity.
func (i Identity) Validate() error {
	switch {
	case !isName(i.Fleet):
		return fmt.Errorf("%q cannot be the name of a fleet", i.Fleet)
	case !isName(i.Cluster):
		return fmt.Errorf("%q cannot be the name of a cluster", i.Cluster)
	case i.Number < 1:
		return fmt.Errorf("the identity of %q has number %d: they begin at 1", i.Cluster, i.Number)
	}
	return nil
}

// ParseIdentity reads what String wrote, and nothing else.
func ParseIdentity(s string) (Identity, error) {
	rest, ok := strings.CutPrefix(s, scheme)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return Identity{}, fmt.Errorf("%q is no identity: nave://FLEET/CLUSTER/NUMBER", short(s))
	}
	number, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || strconv.FormatInt(number, 10) != parts[2] {
		return Identity{}, fmt.Errorf("%q is no identity: its number is not one", short(s))
	}
	id := Identity{Fleet: parts[0], Cluster: parts[1], Number: number}
	return id, id.Validate()
}

// IdentityOf is the identity that a certificate names, as one URI and nothing
// else. It verifies no signature.
func IdentityOf(c *x509.Certificate) (Identity, error) {
	return named(c.URIs, len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses))
}

func named(uris []*url.URL, others int) (Identity, error) {
	if len(uris) != 1 || others > 0 {
		return Identity{}, errors.New("it does not name one identity and nothing else")
	}
	return ParseIdentity(uris[0].String())
}

// short is as much of a stranger's text as fits into a message.
func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
