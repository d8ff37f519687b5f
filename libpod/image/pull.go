package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/store"
)

// Pull policies, as --pull and --policy spell them.
const (
	Always  = "always"  // ask the registry; transfer what the store does not have
	Missing = "missing" // pull only if the store has no such image; the default
	Never   = "never"   // do not pull
	Newer   = "newer"   // pull if the registry's differs; the store's if it cannot be asked
)

// Store is what is needed of the image store; *store.Store has it.
type Store interface {
	Put(ctx context.Context, img v1.Image, names []string, p store.Progress) (id string, err error)
	Lookup(nameOrID string) (*store.Image, error)
}

// PullOptions say when and how to pull. The zero value pulls what is missing,
// for this machine, silently.
type PullOptions struct {
	Policy   string // one of the constants above; default Missing
	Platform string // OS/ARCH[/VARIANT]; default: this machine's

	TLSVerify *bool  // nil: as registries.conf says
	AuthFile  string // instead of all others; see regconf.LoadAuth
	Creds     string // USER:PASSWORD instead of any file
	CertDir   string // TLS files instead of certs.d

	// Retry is how often a request is repeated after a transient fault: 0 is 3
	// times, -1 never.
	Retry int
	// RetryDelay is the wait before each. 0 doubles from a second to a minute.
	RetryDelay time.Duration
	// Parallel bounds the layers that are transferred at once. 0 is 6.
	Parallel int

	// Progress is told what happens, in lines; on a terminal with bars. Nil, or
	// Quiet: nobody is.
	Progress io.Writer `json:"-" pack:"-"`
	Quiet    bool

	// Pulled hears of every image that was pulled, with the name that it has got.
	Pulled func(id, name string) `json:"-" pack:"-"`

	// Helper runs credential helpers. Nil: in this process's namespaces.
	Helper registry.HelperFunc `json:"-" pack:"-"`
	// Clock is replaced by tests.
	Clock registry.Clock `json:"-" pack:"-"`
}

// Ensure returns the image that name means, pulling it as o.Policy says. name is
// what users write: short or full, with tag or digest or neither, or the id of an
// image in the store.
func Ensure(ctx context.Context, s Store, name string, o PullOptions) (*store.Image, error) {
	p, err := newPuller(s, o)
	if err != nil {
		return nil, err
	}
	defer p.close()
	switch o.Policy {
	case Always:
		return p.pull(ctx, name, nil)
	case Missing, "":
		have, err := p.have(name)
		if have != nil || err != nil {
			return have, err
		}
		return p.pull(ctx, name, nil)
	case Never:
		have, err := p.have(name)
		if have == nil && err == nil {
			err = problem.Hint(fmt.Errorf("%s: %w, and the pull policy is never", name, store.ErrNotFound), "run: nook pull %s", name)
		}
		return have, err
	case Newer:
		have, err := p.have(name)
		if err != nil {
			return nil, err
		}
		img, err := p.pull(ctx, name, have)
		if err != nil && have != nil && ctx.Err() == nil {
			p.out.say(fmt.Sprintf("Using the local %s: %v", name, err))
			return have, nil
		}
		return img, err
	}
	return nil, fmt.Errorf("pull policy %q: want always, missing, never or newer", o.Policy)
}

// PullAll pulls every tag of the repository that name means. Tags that are no
// image for the platform are passed over.
func PullAll(ctx context.Context, s Store, name string, o PullOptions) ([]*store.Image, error) {
	p, err := newPuller(s, o)
	if err != nil {
		return nil, err
	}
	defer p.close()
	r, err := p.resolve(name)
	if err != nil {
		return nil, err
	}
	given, err := registry.ParseReference(strings.TrimPrefix(name, "docker://"))
	if err == nil && (given.Tag != "" || given.Digest != "") {
		return nil, problem.Hint(fmt.Errorf("pull %s: a tag and --all-tags exclude each other", name), "run: nook pull --all-tags %s", given.Name())
	}
	var errs []error
	for _, ref := range r.refs {
		tags, err := p.client.Tags(ctx, ref)
		if err == nil {
			return p.tags(ctx, ref, tags)
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// puller is one call of Ensure or PullAll.
type puller struct {
	s        Store
	o        PullOptions
	ready    bool // connect was called: cfg and client are there
	cfg      regconf.Registries
	policy   regconf.Policy
	client   *registry.Client
	platform v1.Platform
	explicit bool // the platform was asked for
	creds    bool // --creds was given
	out      *progress
}

func newPuller(s Store, o PullOptions) (*puller, error) {
	p := &puller{s: s, o: o, platform: registry.HostPlatform(), explicit: o.Platform != "", creds: o.Creds != ""}
	var err error
	if p.explicit {
		p.platform, err = registry.ParsePlatform(o.Platform)
	}
	if o.Quiet {
		o.Progress = nil
	}
	p.out = newProgress(o.Progress)
	return p, err
}

// connect reads how registries are reached. An image that is in the store under
// its name needs none of it, and neither the time nor a mistake in those files.
func (p *puller) connect() (err error) {
	if p.ready {
		return nil
	}
	if p.cfg, err = regconf.LoadRegistries(); err != nil {
		return err
	}
	if p.policy, err = regconf.LoadPolicy(); err != nil {
		return err
	}
	keys := registry.Keychain{Helpers: p.cfg.CredentialHelpers, Helper: p.o.Helper}
	if p.creds {
		if keys.Explicit, err = registry.ParseCredentials(p.o.Creds); err != nil {
			return err
		}
	} else if keys.Files, err = regconf.LoadAuth(p.o.AuthFile); err != nil {
		return err
	}
	p.client = registry.New(registry.Options{
		Config: p.cfg, Keychain: keys, CertDir: p.o.CertDir, TLSVerify: p.o.TLSVerify,
		Retries: p.o.Retry, RetryDelay: p.o.RetryDelay, Parallel: p.o.Parallel,
		Notice: p.out.say, Clock: p.o.Clock,
	})
	p.ready = true
	return nil
}

func (p *puller) close() {
	if p.ready {
		p.client.Close()
	}
	p.out.finish()
}

// have returns the store's image for name, nil if there is none that suits.
func (p *puller) have(name string) (*store.Image, error) {
	trimmed, err := registry.TrimTransport(name)
	if err != nil {
		return nil, err
	}
	img, err := p.s.Lookup(trimmed)
	if errors.Is(err, store.ErrNotFound) && strings.Contains(trimmed, "@") {
		img, err = p.haveDigest(trimmed)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if !p.explicit {
		return img, nil
	}
	c, err := img.Config()
	if err != nil {
		return nil, err
	}
	if !registry.SamePlatform(p.platform, v1.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}) {
		return nil, nil
	}
	return img, nil
}

// haveDigest finds an image by the digest it was pulled by, which may be that of
// an index and not of the image itself.
func (p *puller) haveDigest(name string) (*store.Image, error) {
	if err := p.connect(); err != nil {
		return nil, err
	}
	for _, full := range Candidates(name, p.cfg) {
		ref, err := registry.ParseReference(full)
		if err != nil {
			continue
		}
		if img, err := p.s.Lookup(storedName(ref)); !errors.Is(err, store.ErrNotFound) {
			return img, err
		}
	}
	return nil, store.ErrNotFound
}

func (p *puller) resolve(name string) (resolution, error) {
	if strings.HasPrefix(name, "sha256:") {
		return resolution{}, problem.Hint(fmt.Errorf("pull %s: %w", name, errIsID), "give a name, as in docker.io/library/busybox")
	}
	if err := p.connect(); err != nil {
		return resolution{}, err
	}
	r, err := resolve(name, p.cfg)
	if err != nil {
		return r, err
	}
	if p.creds && len(r.refs) > 1 {
		return r, problem.Hint(fmt.Errorf("pull %s: it may be at %d registries, and --creds are for one", name, len(r.refs)),
			"use the full name, as in %s", r.refs[0])
	}
	if r.note != "" {
		p.out.say(r.note)
	}
	return r, nil
}

// pull brings name into the store. If have is what the registry has, that is the
// answer.
func (p *puller) pull(ctx context.Context, name string, have *store.Image) (*store.Image, error) {
	r, err := p.resolve(name)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, ref := range r.refs {
		img, err := p.one(ctx, ref, have)
		if err == nil {
			return img, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("pull %s: %w", ref, p.explain(ref, err)))
	}
	return nil, errors.Join(errs...)
}

// explain adds what only this layer knows: the name that was meant, and that
// localhost/NAME is how the store calls images that were made here.
func (p *puller) explain(ref registry.Reference, err error) error {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return problem.Hint(err, "check the name of the registry, and the network: getent hosts %s", ref.Host)
	}
	if ref.Host == localHost && problem.HintOf(err) == "" {
		return problem.Hint(err, "localhost/%s is the name of an image made on this machine, and there is none: see nook images", ref.Path)
	}
	return err
}

func (p *puller) one(ctx context.Context, ref registry.Reference, have *store.Image) (*store.Image, error) {
	if err := p.policy.Check(ref.Name(), ref.String()); err != nil {
		return nil, err
	}
	p.out.say(fmt.Sprintf("Trying to pull %s...", ref))
	found, err := p.client.Fetch(ctx, ref, p.platform)
	if err != nil {
		return nil, err
	}
	if have != nil && found.ConfigDigest().Hex == have.ID {
		return have, nil
	}
	if err := p.checkPlatform(found); err != nil {
		return nil, err
	}
	img, err := found.V1()
	if err != nil {
		return nil, err
	}
	id, err := p.s.Put(ctx, img, []string{storedName(ref)}, p.out)
	if err != nil {
		return nil, err
	}
	if p.o.Pulled != nil {
		p.o.Pulled(id, storedName(ref))
	}
	return p.s.Lookup(id)
}

// checkPlatform compares what the image says it is for with what was asked for
// and with this machine. Images outside an index were not chosen by platform.
func (p *puller) checkPlatform(found *registry.Image) error {
	is, err := found.Platform()
	if err != nil {
		return err
	}
	if is.OS == "" || is.Architecture == "" {
		return nil // it does not say
	}
	text := registry.PlatformString(is)
	if p.explicit && !found.Listed && !registry.SamePlatform(p.platform, is) {
		return problem.Hint(fmt.Errorf("%w %s: there is only %s", registry.ErrPlatform, registry.PlatformString(p.platform), text),
			"leave --platform out, or use --platform %s", text)
	}
	if host := registry.HostPlatform(); !registry.SamePlatform(host, is) {
		p.out.say(fmt.Sprintf("WARNING: the image is for %s and this machine is %s; it runs only through emulation", text, registry.PlatformString(host)))
	}
	return nil
}

func (p *puller) tags(ctx context.Context, ref registry.Reference, tags []string) ([]*store.Image, error) {
	var images []*store.Image
	for _, tag := range tags {
		ref.Tag = tag
		img, err := p.one(ctx, ref, nil)
		if errors.Is(err, registry.ErrPlatform) || errors.Is(err, registry.ErrNotImage) {
			p.out.say(fmt.Sprintf("Passing over %s: %v", ref, err))
			continue
		}
		if err != nil {
			return images, fmt.Errorf("pull %s: %w", ref, err)
		}
		images = append(images, img)
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("pull %s: %w: no tag has an image for %s", ref.Name(), registry.ErrNotFound, registry.PlatformString(p.platform))
	}
	return images, nil
}
