package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/problem"
)

// Fetch finds the image that ref names, for platform, at the first endpoint that
// has it. It transfers manifests only; the layers and the config follow when the
// image is read, with ctx, and from the other endpoints if the first loses them.
func (c *Client) Fetch(ctx context.Context, ref Reference, platform v1.Platform) (*Image, error) {
	if ref.Host == "" {
		return nil, fmt.Errorf("pull %s: short name has no registry", ref)
	}
	eps, err := c.endpoints(ref)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, ep := range eps {
		img, err := c.fetchFrom(ctx, ep, platform)
		if err == nil {
			img.others = eps[i+1:]
			return img, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if ep.Mirror {
			c.o.Notice(fmt.Sprintf("mirror %s: %v", ep.Ref, err))
			err = fmt.Errorf("mirror %s: %w", ep.Ref, err)
		} else if ep.Ref.Name() != ref.Name() {
			err = fmt.Errorf("%s: %w", ep.Ref, err)
		}
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

func (c *Client) fetchFrom(ctx context.Context, ep Endpoint, platform v1.Platform) (*Image, error) {
	s, err := c.session(ep)
	if err != nil {
		return nil, err
	}
	id, size, listed := ep.Ref.identifier(), int64(-1), false
	for depth := 0; ; depth++ {
		m, err := s.manifest(ctx, id, size)
		if err != nil {
			return nil, err
		}
		if m.image != nil {
			return &Image{c: c, s: s, ctx: ctx, m: m, Listed: listed}, nil
		}
		if depth > maxNesting {
			return nil, fmt.Errorf("%w: index inside an index, %d deep", ErrManifest, depth)
		}
		d, err := selectPlatform(m.index.Manifests, platform)
		if err != nil {
			return nil, err
		}
		id, size, listed = d.Digest.String(), d.Size, true
	}
}

// manifest fetches one manifest, by tag or digest. size is the expected one, or -1.
func (s *session) manifest(ctx context.Context, id string, size int64) (*manifest, error) {
	h := http.Header{"Accept": {strings.Join(accepted(), ", ")}}
	raw, contentType, err := s.readAll(ctx, s.repoPath("manifests", id), h, maxManifest)
	if err != nil {
		return nil, s.explain(fmt.Errorf("fetch manifest %s: %w", id, err), id)
	}
	algorithm := "sha256"
	if a, _, ok := strings.Cut(id, ":"); ok {
		algorithm = a
	}
	digest, err := sum(algorithm, raw)
	if err != nil {
		return nil, err
	}
	if strings.Contains(id, ":") && digest.String() != id {
		return nil, fmt.Errorf("fetch manifest %s: %w: digest is %s", id, ErrContent, digest)
	}
	if size >= 0 && size != int64(len(raw)) {
		return nil, fmt.Errorf("fetch manifest %s: %w: size is %d, want %d", id, ErrContent, len(raw), size)
	}
	m, err := parseManifest(raw, contentType)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", id, err)
	}
	m.digest = digest
	return m, nil
}

// explain says what a missing manifest means.
func (s *session) explain(err error, id string) error {
	if !errors.Is(err, ErrNotFound) || problem.HintOf(err) != "" {
		return err
	}
	return problem.Hint(err, "check the name: %s has no %s", s.ep.Ref.Name(), id)
}

// readAll fetches a small answer as a whole, again if the connection breaks.
func (s *session) readAll(ctx context.Context, path string, h http.Header, limit int64) (data []byte, contentType string, err error) {
	for failed := 0; ; failed++ {
		resp, err := s.fetchAgain(ctx, path, h, &failed, http.StatusOK)
		if err != nil {
			return nil, "", err
		}
		if resp.ContentLength > limit {
			resp.Body.Close()
			return nil, "", fmt.Errorf("answer is larger than %d KiB", limit>>10)
		}
		data, err = readCapped(resp.Body, limit)
		resp.Body.Close()
		if err == nil {
			return data, resp.Header.Get("Content-Type"), nil
		}
		if err := s.pause(ctx, failed, err); err != nil {
			return nil, "", err
		}
	}
}

func sum(algorithm string, data []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	h.Write(data)
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(h.Sum(nil))}, nil
}
