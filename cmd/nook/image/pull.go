package image

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/store"
)

type pullFlags struct {
	image.PullOptions
	platform   platformFlags
	allTags    bool
	tlsVerify  bool
	retry      int
	retryDelay string
}

// platformFlags are the two ways to name a platform.
type platformFlags struct{ platform, os, arch, variant string }

func newPull(f *cmdutil.Factory) *cobra.Command {
	var o pullFlags
	cmd := &cobra.Command{
		Use:   "pull [flags] NAME...",
		Short: "Pull images from a registry",
		Long: `Pull images from a registry into the store. NAME is
[REGISTRY/]PATH[:TAG][@DIGEST]; without a registry it is looked for where
registries.conf says, or at docker.io. Progress goes to standard error, the id of
each image to standard output.`,
		Example: "  nook pull busybox\n  nook pull --platform linux/arm64 quay.io/prometheus/busybox:latest",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.complete(cmd.Flags()); err != nil {
				return err
			}
			return f.InStore(cmd.Context(), func(ctx context.Context, s *store.Store) error {
				o.Progress, o.Helper = f.Err, f.CredentialHelper()
				return pull(ctx, f, s, args, o)
			})
		},
	}
	o.define(cmd.Flags())
	return cmd
}

func (o *pullFlags) define(fs *pflag.FlagSet) {
	fs.BoolVarP(&o.allTags, "all-tags", "a", false, "pull every tag of the repository")
	fs.BoolVarP(&o.Quiet, "quiet", "q", false, "no progress on standard error")
	fs.StringVar(&o.Policy, "policy", image.Always, "when to pull: always, missing, never or newer")
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

// complete turns what was given into options. Mistakes are found before the
// store is opened.
func (o *pullFlags) complete(fs *pflag.FlagSet) error {
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
		return fmt.Errorf("--policy %q: want always, missing, never or newer", o.Policy)
	}
	if o.allTags && fs.Changed("policy") && o.Policy != image.Always {
		return errors.New("--all-tags asks the registry for its tags and goes only with --policy always")
	}
	var err error
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

func pull(ctx context.Context, f *cmdutil.Factory, s *store.Store, names []string, o pullFlags) error {
	for _, name := range names {
		if !o.allTags {
			img, err := image.Ensure(ctx, s, name, o.PullOptions)
			if err != nil {
				return err
			}
			fmt.Fprintln(f.Out, img.ID)
			continue
		}
		images, err := image.PullAll(ctx, s, name, o.PullOptions)
		for _, img := range images {
			fmt.Fprintln(f.Out, img.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
