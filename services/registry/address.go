package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// errAddress says that the registry does not call that address.
var errAddress = errors.New("address not allowed")

// refusedNetworks are where no service lives and a check could reach what is none of its
// business: the metadata services of clouds, and IPv6 addresses that stand for IPv4 ones
// and so for any of these. Link-local and the like [allowed] refuses by itself. Private
// networks are fine: that is where services live.
var refusedNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.0/24"),       // Oracle Cloud, and protocol assignments
	netip.MustParsePrefix("240.0.0.0/4"),        // reserved, and broadcast
	netip.MustParsePrefix("::/96"),              // IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/96"),       // NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"),     // NAT64, local use
	netip.MustParsePrefix("2001::/32"),          // Teredo
	netip.MustParsePrefix("2002::/16"),          // 6to4
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::/32"),       // Google Cloud
}

// addresses says which addresses checks may go to.
type addresses struct {
	loopback bool // also this machine
}

// allowed reports whether a check may go to ip.
func (a addresses) allowed(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() {
		return a.loopback
	}
	switch {
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast():
		return false
	default:
		return !slices.ContainsFunc(refusedNetworks, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
}

// control is for a [net.Dialer]. It judges the address that is dialled, after names were
// resolved: a name may mean something else each time it is looked up.
func (a addresses) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errAddress, err)
	}
	if !a.allowed(to.Addr()) {
		return errAddress
	}
	return nil
}

// refusesHost reports whether host is an address that is not allowed. A name is judged
// when it is dialled.
func (a addresses) refusesHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && !a.allowed(ip)
}
