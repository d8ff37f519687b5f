package registry

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// HostPlatform is the platform that this machine runs natively.
func HostPlatform() v1.Platform {
	return normalize(v1.Platform{OS: "linux", Architecture: runtime.GOARCH})
}

// ParsePlatform reads os[/arch[/variant]] or arch alone; what is missing is the
// host's.
func ParsePlatform(s string) (v1.Platform, error) {
	host := HostPlatform()
	parts := strings.Split(s, "/")
	if slices.Contains(parts, "") || len(parts) > 3 || strings.ContainsAny(s, " \t\n") {
		return v1.Platform{}, fmt.Errorf("platform %q: want OS/ARCH or OS/ARCH/VARIANT, as in linux/arm64", s)
	}
	switch p := (v1.Platform{OS: host.OS}); len(parts) {
	case 1:
		if parts[0] == "linux" || parts[0] == "windows" {
			return v1.Platform{OS: parts[0], Architecture: host.Architecture, Variant: host.Variant}, nil
		}
		p.Architecture = parts[0]
		return normalize(p), nil
	case 2:
		return normalize(v1.Platform{OS: parts[0], Architecture: parts[1]}), nil
	default:
		return normalize(v1.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}), nil
	}
}

// normalize gives each platform one spelling: Go's names for architectures, and
// no variant where it is the only one or the baseline (arm64/v8, amd64/v1). A
// 32-bit arm without variant is v7, as images without one mostly are.
func normalize(p v1.Platform) v1.Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i486", "i586", "i686", "x86":
		p.Architecture = "386"
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	switch {
	case p.Architecture == "arm64" && (p.Variant == "8" || p.Variant == "v8"),
		p.Architecture == "amd64" && p.Variant == "v1":
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	case p.Architecture == "arm" && !strings.HasPrefix(p.Variant, "v"):
		p.Variant = "v" + p.Variant
	}
	return p
}

// SamePlatform reports whether an image for have runs where want is asked for:
// the same system and architecture, and a variant that want's machine has too.
func SamePlatform(want, have v1.Platform) bool { return rank(want, have) >= 0 }

// rank says how well have suits want: 0 is best, -1 not at all. A machine runs
// the variants before its own, so the nearest of those comes next.
func rank(want, have v1.Platform) int {
	want, have = normalize(want), normalize(have)
	if want.OS != have.OS || want.Architecture != have.Architecture {
		return -1
	}
	if want.Variant == have.Variant {
		return 0
	}
	var order []string
	switch want.Architecture {
	case "arm":
		order = []string{"v8", "v7", "v6", "v5"}
	case "amd64":
		order = []string{"v4", "v3", "v2", ""}
	case "arm64": // v8.1 and up are named, the baseline is not
		if have.Variant == "" {
			return 1
		}
	}
	w, h := slices.Index(order, want.Variant), slices.Index(order, have.Variant)
	if w < 0 || h < w {
		return -1
	}
	return h - w
}

// selectPlatform returns the descriptor that suits want best; of equals the first
// (image index specification, "manifests").
func selectPlatform(list []v1.Descriptor, want v1.Platform) (v1.Descriptor, error) {
	best, found := v1.Descriptor{}, -1
	var offered []string
	for _, d := range list {
		if d.Platform == nil || d.Platform.OS == "" || d.Platform.OS == "unknown" {
			continue // attestations and other things that do not run
		}
		offered = append(offered, PlatformString(*d.Platform))
		if r := rank(want, *d.Platform); r >= 0 && (found < 0 || r < found) {
			best, found = d, r
		}
	}
	if found >= 0 {
		return best, nil
	}
	if len(offered) == 0 && len(list) == 1 && list[0].Platform == nil {
		return list[0], nil // an index of one image, as tools export it
	}
	return best, noPlatform(want, offered)
}

// PlatformString is p as OS/ARCH[/VARIANT], safe to print whoever wrote it.
func PlatformString(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return printable(s)
}
