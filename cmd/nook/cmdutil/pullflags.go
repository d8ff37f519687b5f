package cmdutil

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
)

// PullFlags are the flags of every command that may pull an image. The policy is
// the command's own: its flag has another name and default each time.
type PullFlags struct {
	image.PullOptions
	platform   platformFlags
	tlsVerify  bool
	retry      int
	retryDelay string
}

// platformFlags are the two ways to name a platform.
type platformFlags struct{ platform, os, arch, variant string }

// Define adds the flags to fs.
func (o *PullFlags) Define(fs *pflag.FlagSet) {
	fs.BoolVarP(&o.Quiet, "quiet", "q", false, "no progress on standard error")
	fs.StringVar(&o.platform.platform, "platform", "", "`OS/ARCH[/VARIANT]` to pull for; default: this machine's")
	fs.StringVar(&o.platform.os, "os", "", "operating system to pull for")
	fs.StringVar(&o.platform.arch, "arch", "", "architecture to pull for")
	fs.StringVar(&o.platform.variant, "variant", "", "variant of the architecture to pull for")
	fs.BoolVar(&o.tlsVerify, "tls-verify", true, "require TLS and a valid certificate; default: as registries.conf says")
	fs.StringVar(&o.Creds, "creds", "", "`USER:PASSWORD` for the registry")
	fs.StringVar(&o.AuthFile, "authfile", "", "`FILE` with credentials, instead of $REGISTRY_AUTH_FILE and the usual ones")
	fs.StringVar(&o.CertDir, "cert-dir", "", "`DIR` with *.crt, *.cert and *.key files, instead of certs.d")
	fs.IntVar(&o.retry, "retry", 3, "how often to repeat a request that failed for a passing reason")
	fs.StringVar(&o.retryDelay, "retry-delay", "", "wait before each repetition, as in 500ms or 2s; default: 1s, doubled each time")
}

// Complete turns what was given into options. policyFlag names the policy's flag
// in errors. Mistakes are found before the store is opened.
func (o *PullFlags) Complete(fs *pflag.FlagSet, policyFlag string) (err error) {
	if fs.Changed("tls-verify") {
		o.TLSVerify = &o.tlsVerify
	}
	switch {
	case o.retry < 0:
		return fmt.Errorf("--retry %d: want 0 or more", o.retry)
	case o.retry == 0:
		o.Retry = -1
	default:
		o.Retry = o.retry
	}
	if o.retryDelay != "" {
		d, err := time.ParseDuration(o.retryDelay)
		if err != nil || d <= 0 {
			return fmt.Errorf("--retry-delay %q: want a duration, as in 500ms or 2s", o.retryDelay)
		}
		o.RetryDelay = d
	}
	if o.Creds != "" {
		if _, err := registry.ParseCredentials(o.Creds); err != nil {
			return fmt.Errorf("--creds: %w", err)
		}
	}
	switch o.Policy {
	case image.Always, image.Missing, image.Never, image.Newer:
	default:
		return fmt.Errorf("--%s %q: want always, missing, never or newer", policyFlag, o.Policy)
	}
	o.Platform, err = o.platform.merge()
	return err
}

// merge makes one platform of the flags; "" if none was given.
func (p platformFlags) merge() (string, error) {
	if p.platform != "" {
		if p.os+p.arch+p.variant != "" {
			return "", problem.Hint(errors.New("--platform excludes --os, --arch and --variant"), "give only --platform OS/ARCH/VARIANT")
		}
		_, err := registry.ParsePlatform(p.platform)
		return p.platform, err
	}
	if p.os+p.arch+p.variant == "" {
		return "", nil
	}
	host := registry.HostPlatform()
	if p.os == "" {
		p.os = host.OS
	}
	if p.arch == "" {
		p.arch = host.Architecture
	}
	s := strings.TrimSuffix(strings.Join([]string{p.os, p.arch, p.variant}, "/"), "/")
	_, err := registry.ParsePlatform(s)
	return s, err
}
