package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Compression says how a stream is packed.
type Compression int

// The compressions that Decompress knows.
const (
	None Compression = iota
	Gzip
	Zstd
	XZ
	Bzip2
)

func (c Compression) String() string {
	switch c {
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	case XZ:
		return "xz"
	case Bzip2:
		return "bzip2"
	default:
		return "none"
	}
}

// magicLen is how many bytes Detect looks at.
const magicLen = 6

// Detect names the compression of a stream by its first bytes. A stream too
// short to tell is not compressed.
func Detect(head []byte) Compression {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952, 2.3.1
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, 3.1.1
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return Zstd // begins with a skippable frame; RFC 8878, 3.1.2
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return XZ
	case bytes.HasPrefix(head, []byte("BZh")):
		return Bzip2
	default:
		return None
	}
}

// Window limits: what a stream may ask of our memory. A zstd frame can name a
// window of terabytes; 128 MiB is what zstd itself takes without --long.
const maxWindow = 128 << 20

// Decompress unpacks r, whose compression it finds out from the first bytes. The
// caller must Close the result; that does not close r.
func Decompress(r io.Reader) (io.ReadCloser, Compression, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	head, err := br.Peek(magicLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, None, err
	}
	c := Detect(head)
	switch c {
	case Gzip:
		z, err := newGzipMembers(br)
		return z, c, wrapFormat(c, err)
	case Zstd:
		z, err := zstd.NewReader(br, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
		if err != nil {
			return nil, c, wrapFormat(c, err)
		}
		return &formatReader{Reader: z, format: c, close: z.Close}, c, nil
	case XZ:
		z, err := xz.ReaderConfig{DictCap: maxWindow}.NewReader(br)
		if err != nil {
			return nil, c, wrapFormat(c, err)
		}
		return &formatReader{Reader: z, format: c}, c, nil
	case Bzip2:
		return &formatReader{Reader: bzip2.NewReader(br), format: c}, c, nil
	default:
		return &formatReader{Reader: br}, c, nil
	}
}

// formatReader names the format in errors.
type formatReader struct {
	io.Reader
	format Compression
	close  func()
}

func (f *formatReader) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = wrapFormat(f.format, err)
	}
	return n, err
}

func (f *formatReader) Close() error {
	if f.close != nil {
		f.close()
	}
	return nil
}

func wrapFormat(c Compression, err error) error {
	if err == nil || c == None {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%v stream: cut short: %w", c, err)
	}
	return fmt.Errorf("%v stream: %w", c, err)
}

// gzipMembers reads one or more gzip members in a row (RFC 1952, 2.2), then
// zeros that some tape and block tools append. Anything else after a member is
// an error: gzip(1) ignores it with a warning that nobody would see here.
type gzipMembers struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func newGzipMembers(in *bufio.Reader) (io.ReadCloser, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gzipMembers{in: in, z: z}, nil
}

func (g *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := g.z.Read(p)
		if errors.Is(err, io.EOF) {
			if err = g.next(); err == nil && n == 0 {
				continue
			}
		} else {
			err = wrapFormat(Gzip, err)
		}
		return n, err
	}
}

// next goes to the following member, or returns io.EOF after the last.
func (g *gzipMembers) next() error {
	for {
		b, err := g.in.Peek(1)
		if err != nil {
			return err
		}
		if b[0] != 0 {
			break
		}
		if _, err := g.in.Discard(1); err != nil {
			return err
		}
	}
	head, err := g.in.Peek(2)
	if err != nil || Detect(head) != Gzip {
		return errors.New("gzip stream: followed by something that is neither gzip nor zeros")
	}
	if err := g.z.Reset(g.in); err != nil {
		return wrapFormat(Gzip, err)
	}
	g.z.Multistream(false)
	return nil
}

func (g *gzipMembers) Close() error { return g.z.Close() }
