package chartsource

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// realm says how near to this machine an address is.
type realm int

const (
	public  realm = iota
	private       // networks that are not routed everywhere
	local         // this machine, its links, and what stands for no one machine
)

func (r realm) String() string {
	return [...]string{"a public one", "one of a private network", "one of this machine or its links"}[r]
}

// sharedRanges are private as well: those of carriers (RFC 6598), and of IPv4 inside of IPv6 (RFC 6052), which may be
// anything.
var sharedRanges = []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("64:ff9b::/96")}

func realmOf(address netip.Addr) realm {
	address = address.Unmap()
	switch {
	case address.IsLoopback(), address.IsLinkLocalUnicast(), address.IsUnspecified(), address.IsMulticast(), !address.IsValid():
		return local
	case address.IsPrivate(), sharedRanges[0].Contains(address), sharedRanges[1].Contains(address):
		return private
	}
	return public
}

// realmOfHost is the nearest realm that a host has an address in; public if that cannot be told.
func realmOfHost(ctx context.Context, host string) realm {
	nearest := public
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return public
	}
	for _, address := range addresses {
		nearest = max(nearest, realmOf(address))
	}
	return nearest
}

// elsewhere are what requests go through to other hosts than a repository's own, by the realm of that: they reach no
// nearer one. A connection is used again only within one of them.
var elsewhere = [...]*http.Transport{public: within(public), private: within(private), local: transport}

// within is a transport that reaches no nearer realm, whatever a name stands for when it is dialled.
func within(reach realm) *http.Transport {
	t := transport.Clone()
	dialer := &net.Dialer{Timeout: 20 * time.Second, Control: func(_, address string, _ syscall.RawConn) error { return allows(reach, address) }}
	t.DialContext = dialer.DialContext
	return t
}

// allows says why an address with its port is not to be reached, or nothing.
func allows(reach realm, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q is no address", address)
	}
	if is := realmOf(at.Addr()); is > reach {
		return fmt.Errorf("its address is %s, and the repository's is %s\nhint: an index may name archives on public hosts and on the repository's own", is, reach)
	}
	return nil
}

// way returns what a request goes through, of a repository at a host. Where there is a proxy, that one decides what a
// name stands for.
func way(request *http.Request, home string) (http.RoundTripper, error) {
	host := request.URL.Hostname()
	if strings.EqualFold(host, home) {
		return transport, nil
	}
	reach := realmOfHost(request.Context(), home)
	if proxy, err := transport.Proxy(request); err != nil || proxy == nil {
		return elsewhere[reach], err
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return transport, allows(reach, netip.AddrPortFrom(address, 0).String())
	}
	return transport, nil
}
