// Package tunnel is the transport between the agents of a fleet and their hub:
// one TLS 1.3 connection that the agent opens and keeps, with certificates at both
// ends, over which each calls the other by HTTP/2. A [Server] is the hub's side:
// it enrols, admits, bounds and, by [Server.Recheck], drops agents, and has a
// [Link] for each that is there. [Keep] is the agent's: it enrols with a token,
// connects, reconnects and renews, and gives what runs beside it a [Conn].
//
// The way back is one call of the agent that both ends leave open: its two bodies
// are a net.Conn, on which the hub is the client of an HTTP/2 server in the agent.
// So there is no framing of its own here, and streams, flow control and deadlines
// are those of net/http.
//
// Who may connect is said by the authority and by the functions that the hub
// gives; what is said over the tunnel is the handlers' affair. The package keeps
// nothing on disk, and does not log: what is worth knowing is told to functions of
// the options, or returned.
package tunnel

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"nave.dev/internal/tunnel/authority"
)

// Identity is whom an agent's certificate names.
type Identity = authority.Identity

const (
	// HubURL is what the URLs of an agent's calls begin with.
	HubURL = "https://" + authority.ServerName
	// AgentURL is what the URLs of a hub's calls begin with.
	AgentURL = "http://agent.nave.internal"

	enrolPath       = "/agent/v1/enrol"
	certificatePath = "/agent/v1/certificate"
	linkPath        = "/agent/v1/link"

	helloHeader  = "Nave-Hello"
	reasonHeader = "Nave-Reason"

	// silence is Limits' Silence where nothing else is said. With pinging's share on top
	// a connection ends well within 30 seconds, and with room for the answer on a line
	// where a second's worth of bytes is under way before it.
	silence = 10 * time.Second
	// stuckWrite ends a connection on which not a byte can be written.
	stuckWrite = 25 * time.Second

	maxHeader = 64 << 10
	maxHello  = 16 << 10
	maxReason = 4 << 10
)

// Protocol is what this end speaks. A minor version adds fields and paths that the
// other end may ignore; a major one is refused by any other. What a field of a minor
// version means that must not be ignored, protocol.Assignment.Suit sees to.
var Protocol = Version{Major: 1, Minor: 1}

// Version is one of the protocol.
type Version struct {
	Major int `json:"major"`
	Minor int `json:"minor"`
}

// String is MAJOR.MINOR.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Hello is what each end says of itself when a link is made.
type Hello struct {
	Protocol Version `json:"protocol"`
	Product  string  `json:"product"`            // version of the program
	Instance string  `json:"instance,omitempty"` // of the agent: random, one for each process
	// Roots are the hub's, as PEM: what the agent is to trust from now on.
	Roots string `json:"roots,omitempty"`
}

// DismissedError says that a cluster is no member of the fleet any more, and will not
// be one under its present identity: the agent is to leave. A hub gives it where it
// is asked whom it accepts; Keep returns it to the agent that the hub says it to.
type DismissedError struct{ Reason string }

// Error is the reason.
func (e *DismissedError) Error() string { return e.Reason }

// encode is a hello as the value of a header.
func (h Hello) encode() (string, error) {
	data, err := json.Marshal(h)
	return base64.RawURLEncoding.EncodeToString(data), err
}

// decodeHello reads a stranger's hello. Fields that it does not know are ignored.
func decodeHello(header string) (Hello, error) {
	if len(header) > maxHello {
		return Hello{}, fmt.Errorf("the hello has %d bytes, more than %d", len(header), maxHello)
	}
	data, err := base64.RawURLEncoding.DecodeString(header)
	if err != nil {
		return Hello{}, fmt.Errorf("reading the hello: %w", err)
	}
	var h Hello
	if err := json.Unmarshal(data, &h); err != nil {
		return Hello{}, fmt.Errorf("reading the hello: %w", err)
	}
	if h.Protocol.Major < 1 || h.Protocol.Minor < 0 {
		return Hello{}, fmt.Errorf("the hello names version %s of the protocol", h.Protocol)
	}
	if h.Product, h.Instance = printable(h.Product), printable(h.Instance); len(h.Product) > 128 || len(h.Instance) > 64 {
		return Hello{}, errors.New("the hello names a version or an instance that is too long")
	}
	return h, nil
}

// speaks says why this end cannot talk with the other, or nil.
func (h Hello) speaks(me, you string) error {
	if h.Protocol.Major == Protocol.Major {
		return nil
	}
	return fmt.Errorf("the %s speaks version %s of the protocol (it is nave %q), the %s version %s\nhint: run versions of nave that are next to each other", you, h.Protocol, h.Product, me, Protocol)
}

// printable is a stranger's text on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// Limits bound what one end lets the other do. Each value of zero is its default.
type Limits struct {
	// Streams is how many calls of the other end are served at once: 64.
	Streams int
	// Body is how many bytes a call of the other end may bring: 8 MiB.
	Body int64
	// Answer is how many bytes an answer of the other end may have: 64 MiB.
	Answer int64
	// Call is how long a call may take, in either direction, where the caller's
	// context does not say: 5 minutes. It is the limit of how slowly the other end may
	// send and read as well.
	Call time.Duration
	// Silence of the other end is broken by a ping, which it has 1.2 times as long to
	// answer before the connection ends: 10 seconds.
	Silence time.Duration

	// Connections is how many the hub has at once, from all: 10,000. The rest is the
	// hub's too.
	Connections int
	// Pending is how many of an address may be there that have not shown a
	// certificate: 256. Of all addresses, it is a quarter of Connections.
	Pending int
	// Handshake is how long a connection may take to show one, and how long one that
	// shows none may stay: 30 seconds.
	Handshake time.Duration
	// PerCluster is how many connections a cluster may have: 8.
	PerCluster int
	// Enrolments is how many an address may try in a minute: 30.
	Enrolments int
	// Requests is how many calls of a cluster are served in a minute: 6,000.
	Requests int
}

func (l Limits) withDefaults() Limits {
	zero(&l.Streams, 64)
	zero(&l.Body, 8<<20)
	zero(&l.Answer, 64<<20)
	zero(&l.Call, 5*time.Minute)
	zero(&l.Silence, silence)
	zero(&l.Connections, 10_000)
	zero(&l.Pending, 256)
	zero(&l.Handshake, 30*time.Second)
	zero(&l.PerCluster, 8)
	zero(&l.Enrolments, 30)
	zero(&l.Requests, 6000)
	return l
}

func zero[T int | int64 | time.Duration](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}
