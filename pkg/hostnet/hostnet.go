// Package hostnet lists the addresses that the host has or reaches, for who looks
// for some that nobody uses.
package hostnet

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Block is some addresses.
type Block struct {
	Prefix    netip.Prefix
	Interface string
	Routed    bool // behind a router; the others are on the interface's own link
}

// The kernel's tables, of this process's network namespace (proc(5)).
const (
	routes4 = "/proc/self/net/route"
	routes6 = "/proc/self/net/ipv6_route"
)

// Read lists what the interfaces have and the main routing table knows, default
// routes left out.
func Read() ([]Block, error) {
	blocks, err := interfaces()
	if err != nil {
		return nil, err
	}
	for _, table := range []struct {
		path  string
		parse func(string) []Block
	}{{routes4, ParseRoutes4}, {routes6, ParseRoutes6}} {
		data, err := os.ReadFile(table.path)
		if errors.Is(err, fs.ErrNotExist) { // a kernel without the family
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		blocks = append(blocks, table.parse(string(data))...)
	}
	return blocks, nil
}

func interfaces() ([]Block, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var blocks []Block
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && relevant(p) {
				blocks = append(blocks, Block{Prefix: p.Masked(), Interface: i.Name})
			}
		}
	}
	return blocks, nil
}

// relevant leaves out what no network could be chosen from, and default routes.
func relevant(p netip.Prefix) bool {
	a := p.Addr()
	return p.Bits() > 0 && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast()
}

// ParseRoutes4 reads /proc/net/route: a heading, and for each route its interface,
// destination, gateway, flags, four numbers and its mask, addresses as hexadecimal
// words in the host's byte order.
func ParseRoutes4(table string) []Block {
	var blocks []Block
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		dst, err1 := strconv.ParseUint(f[1], 16, 32)
		gateway, err2 := strconv.ParseUint(f[2], 16, 32)
		mask, err3 := strconv.ParseUint(f[7], 16, 32)
		if errors.Join(err1, err2, err3) != nil {
			continue // the heading
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(dst))                          //nolint:gosec // 32 bits
		p := netip.PrefixFrom(netip.AddrFrom4(b), bits.OnesCount32(uint32(mask))) //nolint:gosec // 32 bits
		if relevant(p) {
			blocks = append(blocks, Block{Prefix: p.Masked(), Interface: f[0], Routed: gateway != 0})
		}
	}
	return blocks
}

// ParseRoutes6 reads /proc/net/ipv6_route: destination and its bits, source and its
// bits, gateway, metric, two counters, flags, all hexadecimal, and the interface.
func ParseRoutes6(table string) []Block {
	var blocks []Block
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		dst, err1 := hex.DecodeString(f[0])
		n, err2 := strconv.ParseUint(f[1], 16, 8)
		a, ok := netip.AddrFromSlice(dst)
		if errors.Join(err1, err2) != nil || !ok || !a.Is6() || n > 128 {
			continue
		}
		if p := netip.PrefixFrom(a, int(n)); relevant(p) {
			blocks = append(blocks, Block{Prefix: p.Masked(), Interface: f[9], Routed: strings.Trim(f[4], "0") != ""})
		}
	}
	return blocks
}
