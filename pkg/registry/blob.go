package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// ErrContent is content that is not what its digest or size says.
var ErrContent = errors.New("content does not match its description")

// maxResumes bounds how often one blob is taken up again, whatever progress the
// attempts make: a registry must not keep us for ever one byte at a time.
const maxResumes = 1000

// openBlob reads the blob that d describes. The reader verifies size and digest
// at its end: whoever has read io.EOF has the right bytes, and nobody else has.
func (s *session) openBlob(ctx context.Context, d v1.Descriptor) (*blobReader, error) {
	h, err := v1.Hasher(d.Digest.Algorithm)
	if err != nil {
		return nil, err
	}
	b := &blobReader{s: s, ctx: ctx, want: d, hash: h}
	return b, b.open()
}

// blobReader is a blob that is continued where a connection broke.
type blobReader struct {
	s    *session
	ctx  context.Context //nolint:containedctx // io.Reader has no place for it
	want v1.Descriptor
	hash hash.Hash

	whole   bool          // the server does not know ranges
	body    io.ReadCloser // nil between two connections
	off     int64         // bytes delivered
	since   int           // bytes of this connection
	failed  int           // attempts in a row that brought next to nothing
	resumes int
	err     error // final
}

func (b *blobReader) open() error {
	path := b.s.repoPath("blobs", b.want.Digest.String())
	resp, err := b.s.fetchAgain(b.ctx, path, b.rangeHeader(), &b.failed, http.StatusOK, http.StatusPartialContent)
	if e, ok := errors.AsType[*StatusError](err); ok && e.Status == http.StatusRequestedRangeNotSatisfiable && b.off > 0 && !b.whole {
		b.whole = true // it does not know ranges, but maybe blobs
		return b.open()
	}
	if err != nil {
		return err
	}
	if err := b.align(resp); err != nil {
		resp.Body.Close()
		return err
	}
	b.body = resp.Body
	return nil
}

func (b *blobReader) rangeHeader() http.Header {
	if b.off == 0 || b.whole {
		return nil
	}
	// Some servers do not know a range without an end.
	return http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", b.off, b.want.Size-1)}}
}

// align makes the body of an answer start at off. A server may ignore Range
// (RFC 9110, section 14.2) and send everything again.
func (b *blobReader) align(resp *http.Response) error {
	start := int64(0)
	if resp.StatusCode == http.StatusPartialContent {
		if b.off == 0 || !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", b.off)) {
			return fmt.Errorf("%w: registry sent range %q", ErrContent, printable(resp.Header.Get("Content-Range")))
		}
		start = b.off
	}
	if n := resp.ContentLength; n >= 0 && start+n != b.want.Size {
		return fmt.Errorf("%w: blob %s has %d bytes, want %d", ErrContent, b.want.Digest, start+n, b.want.Size)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, b.off-start); err != nil {
		return &skipError{err}
	}
	return nil
}

func (b *blobReader) Read(p []byte) (int, error) {
	for b.err == nil {
		if b.body == nil {
			b.resume()
			continue
		}
		// One byte more than is wanted, to see that there is none.
		n, err := b.body.Read(p[:min(int64(len(p)), b.want.Size-b.off+1)])
		if b.off+int64(n) > b.want.Size {
			b.err = fmt.Errorf("%w: blob %s is longer than %d bytes", ErrContent, b.want.Digest, b.want.Size)
			return 0, b.err
		}
		b.off += int64(n)
		b.hash.Write(p[:n])
		if b.since += n; b.since >= leastProgress {
			b.failed = 0
		}
		if err != nil {
			b.ended(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// ended deals with the end of one connection.
func (b *blobReader) ended(err error) {
	b.body.Close()
	b.body = nil
	if b.off < b.want.Size {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		b.broken(err)
		return
	}
	// All is there, also when the connection broke after the last byte.
	if got := hex.EncodeToString(b.hash.Sum(nil)); got != b.want.Digest.Hex {
		b.err = fmt.Errorf("%w: blob %s has digest %s:%s", ErrContent, b.want.Digest, b.want.Digest.Algorithm, got)
		return
	}
	b.err = io.EOF
}

// broken waits for the next attempt, or makes err final.
func (b *blobReader) broken(err error) {
	err = fmt.Errorf("blob %s ended at byte %d of %d: %w", b.want.Digest, b.off, b.want.Size, err)
	if b.resumes++; b.resumes > maxResumes {
		b.err = err
		return
	}
	b.err = b.s.pause(b.ctx, b.failed, err)
	b.failed++
}

// resume opens the rest of the blob. fetchAgain has tried the request often enough;
// only a body that breaks while it is skipped is another broken attempt.
func (b *blobReader) resume() {
	b.since = 0
	b.err = b.open()
	if skip, ok := errors.AsType[*skipError](b.err); ok {
		b.broken(skip.err)
	}
}

// skipError is a body that ended before the byte that was to be continued at.
type skipError struct{ err error }

func (e *skipError) Error() string { return e.err.Error() }
func (e *skipError) Unwrap() error { return e.err }

func (b *blobReader) Close() error {
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.body = nil
	if b.err == nil {
		b.err = errors.New("read of a closed blob")
	}
	return err
}

// slotReader gives its slot back when it is closed.
type slotReader struct {
	io.ReadCloser
	once    sync.Once
	release func()
}

func (r *slotReader) Close() error {
	defer r.once.Do(r.release)
	return r.ReadCloser.Close()
}

// acquire takes one of the slots for blobs.
func (c *Client) acquire(ctx context.Context) (release func(), err error) {
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
