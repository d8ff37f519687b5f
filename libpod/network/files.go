package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
)

// Resolv is what a container's resolv.conf is made of.
type Resolv struct {
	Asked spec.DNS
	// Gateways answer names, in the order of the container's networks. They know whom
	// Asked.Servers names (Lease.Servers). Without any, servers are asked directly.
	Gateways []netip.Addr
	// Host is what the host's own says, in place of what was not asked for.
	HostServers []netip.Addr
	HostSearch  []string
}

// maxServers is how many servers libc asks (MAXNS, resolv.conf(5)).
const maxServers = 3

// ResolvConf is the content of /etc/resolv.conf (resolv.conf(5)).
func ResolvConf(r Resolv) []byte {
	servers, search := r.Gateways, r.Asked.Search
	if len(servers) == 0 {
		servers = ip.Addrs(r.Asked.Servers)
	}
	if len(servers) == 0 {
		servers = r.HostServers
	}
	if len(search) == 0 {
		search = r.HostSearch
	}
	if slices.Contains(search, ".") {
		search = nil
	}
	var b bytes.Buffer
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	for _, s := range servers[:min(len(servers), maxServers)] {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(r.Asked.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.Asked.Options, " "))
	}
	return b.Bytes()
}

// HostAlias is the address by which containers reach the host. Podman's, whose
// users have it in their settings.
func HostAlias() netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 1, 2}) }

// HostNames are the names under which every container finds the host.
func HostNames() []string { return []string{"host.containers.internal", "host.docker.internal"} }

// Hosts is what a container's /etc/hosts is made of.
type Hosts struct {
	Hostname, Name string
	Leases         []Lease
	Host           []netip.Addr // addresses that lead to the host
}

// HostsLines are the lines of hosts(5) for a container in networks: itself at each
// of its addresses, and the host.
func HostsLines(h Hosts) []byte {
	var b bytes.Buffer
	own := slices.Compact([]string{h.Hostname, h.Name})
	for _, l := range h.Leases {
		for _, a := range []netip.Addr{l.IPv4, l.IPv6} {
			if a.IsValid() {
				fmt.Fprintf(&b, "%s\t%s\n", a, strings.Join(own, " "))
			}
		}
	}
	for _, a := range h.Host {
		fmt.Fprintf(&b, "%s\t%s\n", a, strings.Join(HostNames(), " "))
	}
	return b.Bytes()
}
