package syntax

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/spec/ip"
)

// Publish reads -p: [[ADDRESS:][HOSTPORT]:]PORT[/PROTOCOL,...], where ports may be
// ranges FIRST-LAST of the same length; of a range for one PORT any that is free is
// taken. An IPv6 address is in brackets. Without HOSTPORT, or with 0, the kernel
// chooses.
func Publish(text string) ([]spec.Port, error) {
	const kind = "port"
	rest, protos, err := portProtos(kind, text)
	if err != nil {
		return nil, err
	}
	host, guest, published := cutLast(rest)
	var p spec.Port
	p.ContainerPort, p.Range, err = portRange(kind, text, guest)
	if err != nil {
		return nil, err
	}
	if published {
		if err := hostSide(&p, text, host); err != nil {
			return nil, err
		}
	}
	return perProto(p, protos), nil
}

// hostSide reads what is in front of the container's port.
func hostSide(p *spec.Port, text, host string) error {
	const kind = "port"
	address, ports, hasAddress := cutLast(host)
	if !hasAddress {
		ports = host
	}
	if hasAddress {
		a, err := listenAddress(text, address)
		if err != nil {
			return err
		}
		p.HostIP = ip.Text(a)
	}
	if ports == "" || ports == "0" {
		return nil
	}
	first, n, err := portRange(kind, text, ports)
	if err != nil {
		return err
	}
	switch {
	case n == p.Range:
	case p.Range == 1:
		p.HostRange = n
	default:
		return bad(kind, text, "%d ports of the host for %d of the container", n, p.Range)
	}
	p.HostPort = first
	return nil
}

// listenAddress reads an address of the host, an IPv6 one in brackets.
func listenAddress(text, address string) (netip.Addr, error) {
	const kind = "port"
	bare, bracketed := strings.CutPrefix(address, "[")
	if bracketed {
		var closed bool
		if bare, closed = strings.CutSuffix(bare, "]"); !closed {
			return netip.Addr{}, bad(kind, text, "the bracket is not closed")
		}
	}
	a, err := netip.ParseAddr(bare)
	switch {
	case err != nil && strings.Contains(bare, ":"), err == nil && a.Is6() != bracketed:
		return a, bad(kind, text, "write an IPv6 address in brackets, as [::1]:8080:80")
	case err != nil:
		return a, bad(kind, text, "%q is not an address; a host name cannot be listened on", bare)
	case a.IsMulticast() || a.Is4In6() || a.Zone() != "":
		return a, bad(kind, text, "%s is not an address to listen on", a)
	}
	return a, nil
}

// cutLast cuts at the last colon that is not in brackets.
func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.LastIndexByte(text, ']') > i {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}

// Expose reads --expose and an image's exposed ports: PORT[-LAST][/PROTOCOL].
func Expose(text string) ([]spec.Port, error) {
	const kind = "exposed port"
	rest, protos, err := portProtos(kind, text)
	if err != nil {
		return nil, err
	}
	first, n, err := portRange(kind, text, rest)
	if err != nil {
		return nil, err
	}
	return perProto(spec.Port{ContainerPort: first, Range: n}, protos), nil
}

func perProto(p spec.Port, protos []string) []spec.Port {
	out := make([]spec.Port, 0, len(protos))
	for _, proto := range protos {
		p.Proto = proto
		out = append(out, p)
	}
	return out
}

// portProtos cuts the protocols off; default is tcp.
func portProtos(kind, text string) (rest string, protos []string, err error) {
	rest, after, ok := strings.Cut(text, "/")
	if !ok {
		return text, []string{spec.ProtoTCP}, nil
	}
	for proto := range strings.SplitSeq(strings.ToLower(after), ",") {
		switch {
		case proto == "sctp":
			return "", nil, bad(kind, text, "only tcp and udp can be published without root")
		case proto != spec.ProtoTCP && proto != spec.ProtoUDP:
			return "", nil, bad(kind, text, "want /tcp or /udp")
		case !slices.Contains(protos, proto):
			protos = append(protos, proto)
		}
	}
	return rest, protos, nil
}

func portRange(kind, text, ports string) (first, n uint16, err error) {
	from, to, isRange := strings.Cut(ports, "-")
	if !isRange {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || a == 0 {
		return 0, 0, bad(kind, text, "a port is a number from 1 to 65535")
	}
	if b < a {
		return 0, 0, bad(kind, text, "the range ends before it begins")
	}
	return uint16(a), uint16(b - a + 1), nil //nolint:gosec // 16 bits each
}

// Clashes returns two of the ports that the host could not listen on at once, as
// text; ok is false if there are none.
func Clashes(ports []spec.Port) (a, b spec.Port, ok bool) {
	for i, a := range ports {
		for _, b := range ports[:i] {
			if a.HostRange|b.HostRange != 0 {
				continue // there is a choice
			}
			if a.HostPort != 0 && b.HostPort != 0 && a.Proto == b.Proto && sameHost(a.HostIP, b.HostIP) &&
				int(a.HostPort) < int(b.HostPort)+int(b.Range) && int(b.HostPort) < int(a.HostPort)+int(a.Range) {
				return b, a, true
			}
		}
	}
	return a, b, false
}

// sameHost reports whether one of two addresses to listen on has the other in it.
func sameHost(a, b spec.Addr) bool {
	switch {
	case a == b, a == "", b == "":
		return true
	case a.Is6() != b.Is6():
		return false
	}
	return ip.Addr(a).IsUnspecified() || ip.Addr(b).IsUnspecified()
}

// PortText is p as Publish reads it.
func PortText(p spec.Port) string {
	var b strings.Builder
	switch {
	case p.HostIP.Is6():
		b.WriteString("[" + string(p.HostIP) + "]:")
	case p.HostIP != "":
		b.WriteString(string(p.HostIP) + ":")
	}
	if p.HostPort != 0 || p.HostIP != "" {
		if p.HostPort != 0 {
			b.WriteString(span(p.HostPort, max(p.Range, p.HostRange)))
		}
		b.WriteByte(':')
	}
	return b.String() + span(p.ContainerPort, p.Range) + "/" + p.Proto
}

func span(first, n uint16) string {
	if n <= 1 {
		return strconv.Itoa(int(first))
	}
	return strconv.Itoa(int(first)) + "-" + strconv.Itoa(int(first)+int(n)-1)
}
