package registry

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/nook-containers/nook/pkg/config/regconf"
)

// ErrBlocked is an image that registries.conf forbids to pull.
var ErrBlocked = errors.New("blocked by registries.conf")

// Endpoint is one place that an image can be fetched from.
type Endpoint struct {
	Ref      Reference // the image's name there
	Insecure bool      // plain HTTP and unverified certificates are allowed
	Mirror   bool      // not the primary location
}

// Endpoints lists where ref can be fetched from, in the order to try: the
// mirrors of the [[registry]] table that is for it, then the primary location.
// Pure; see containers-registries.conf(5), "Remapping and mirroring registries".
func Endpoints(cfg regconf.Registries, ref Reference) ([]Endpoint, error) {
	ref = ref.WithDefaultTag()
	reg, matched, ok := findRegistry(cfg, ref)
	if !ok {
		return []Endpoint{{Ref: ref}}, nil
	}
	if reg.Blocked {
		return nil, fmt.Errorf("%s: %w (prefix %q)", ref, ErrBlocked, reg.Prefix)
	}
	rest := ref.String()[matched:]
	var eps []Endpoint
	for _, m := range reg.Mirrors {
		if !mirrorApplies(reg, m, ref) {
			continue
		}
		at, err := ParseReference(m.Location + rest)
		if err != nil {
			return nil, fmt.Errorf("mirror %q of %s: %w", m.Location, ref, err)
		}
		eps = append(eps, Endpoint{Ref: at, Insecure: m.Insecure, Mirror: true})
	}
	primary := Endpoint{Ref: ref, Insecure: reg.Insecure}
	if reg.Location != "" && reg.Location != reg.Prefix {
		at, err := ParseReference(reg.Location + rest)
		if err != nil {
			return nil, fmt.Errorf("location %q of %s: %w", reg.Location, ref, err)
		}
		primary.Ref = at
	}
	return append(eps, primary), nil
}

func mirrorApplies(reg regconf.Registry, m regconf.Mirror, ref Reference) bool {
	byDigest := ref.Digest != ""
	switch m.PullFromMirror {
	case "digest-only":
		return byDigest
	case "tag-only":
		return !byDigest
	}
	return byDigest || !reg.MirrorByDigestOnly
}

// findRegistry returns the table with the longest prefix that ref starts with,
// and how many bytes of ref it covers. A host written out wins over a wildcard.
func findRegistry(cfg regconf.Registries, ref Reference) (regconf.Registry, int, bool) {
	best, length, literal := regconf.Registry{}, 0, false
	for _, reg := range cfg.Registries {
		n := matchPrefix(reg.Prefix, ref)
		lit := !strings.HasPrefix(reg.Prefix, "*.")
		if n > length || n == length && n > 0 && lit && !literal {
			best, length, literal = reg, n, lit
		}
	}
	return best, length, length > 0
}

// matchPrefix returns how many bytes of ref's text prefix covers, 0 for none.
func matchPrefix(prefix string, ref Reference) int {
	s := ref.String()
	if domain, ok := strings.CutPrefix(prefix, "*"); ok {
		// The port stays: *.example.com covers a.example.com of a.example.com:5000.
		host := ref.Host
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			host = host[:i]
		}
		if strings.HasSuffix(host, domain) && len(host) > len(domain) {
			return len(ref.Host)
		}
		return 0
	}
	rest, ok := strings.CutPrefix(s, prefix)
	switch {
	case !ok:
		return 0
	case rest == "" || rest[0] == '/':
		return len(prefix)
	case strings.Contains(prefix, "/") && (rest[0] == ':' || rest[0] == '@'):
		return len(prefix)
	}
	return 0 // part of a word, or a host with a port that prefix does not have
}

// serverOf is the host that is contacted for images named after host.
func serverOf(host string) string {
	if host == DockerHub {
		return "registry-1.docker.io"
	}
	return host
}

// isLoopback reports whether host[:port] surely is this machine: localhost and
// below (RFC 6761, section 6.3), 127.0.0.0/8 or ::1.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(strings.ToLower(host), "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
