package attach

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

func TestFramesRoundTrip(t *testing.T) {
	a, b := net.Pipe()
	ca, cb := New(a), New(b)
	big := bytes.Repeat([]byte("x"), MaxPayload)
	go func() {
		for _, f := range []struct {
			t Type
			p []byte
		}{{Stdin, []byte("in")}, {StdinEOF, nil}, {Stdout, big}} {
			if err := ca.Write(f.t, f.p); err != nil {
				t.Error(err)
			}
		}
		ca.Close()
	}()
	for i, want := range []struct {
		t Type
		n int
	}{{Stdin, 2}, {StdinEOF, 0}, {Stdout, MaxPayload}} {
		typ, p, err := cb.Read()
		if err != nil || typ != want.t || len(p) != want.n {
			t.Fatalf("frame %d: type %d, %d bytes, %v", i, typ, len(p), err)
		}
	}
	if _, _, err := cb.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
	if err := cb.Write(Stdin, append(big, 'y')); err == nil {
		t.Error("a frame over the limit was sent")
	}
}

type script struct{ io.Reader }

func (script) Write(p []byte) (int, error) { return len(p), nil }
func (script) Close() error                { return nil }

func TestReadRefusesGarbage(t *testing.T) {
	for name, in := range map[string]string{
		"not a header":     "GET / HTTP/1.1\r\n",
		"too long":         "\x00\x00\x00\x00\xff\xff\xff\xff",
		"header cut short": "\x00\x00",
		"payload cut":      "\x00\x00\x00\x00\x00\x00\x00\x05ab",
	} {
		if _, _, err := New(script{bytes.NewReader([]byte(in))}).Read(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, want an error that is not a clean end", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x01a"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := New(script{bytes.NewReader(in)})
		for range 100 {
			if _, p, err := c.Read(); err != nil {
				return
			} else if len(p) > len(in) {
				t.Fatal("payload longer than the input")
			}
		}
	})
}

func TestParseKeys(t *testing.T) {
	for in, want := range map[string]string{
		DefaultDetachKeys: "\x10\x11", "": "", "a": "a", "ctrl-@,z": "\x00z", "ctrl-A": "\x01", "ctrl-[": "\x1b",
	} {
		if got, err := ParseKeys(in); err != nil || string(got) != want {
			t.Errorf("ParseKeys(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"ctrl-", "ctrl-1", "ab", "ctrl-p,", "é"} {
		if got, err := ParseKeys(in); !errors.Is(err, ErrKeys) {
			t.Errorf("ParseKeys(%q) = %q, %v; want ErrKeys", in, got, err)
		}
	}
}

func TestKeyFilter(t *testing.T) {
	for name, tc := range map[string]struct {
		seq      string
		in       []string
		want     string
		detached bool
	}{
		"whole":              {"ab", []string{"xab"}, "x", true},
		"across reads":       {"ab", []string{"xa", "b"}, "x", true},
		"false start":        {"ab", []string{"a", "c"}, "ac", false},
		"first key twice":    {"ab", []string{"aab"}, "a", true},
		"overlapping prefix": {"aab", []string{"aaab"}, "a", true},
		"deep overlap":       {"abab!", []string{"ababab!"}, "ab", true},
		"held at the end":    {"ab", []string{"a"}, "", false},
		"nothing detaches":   {"", []string{"ab"}, "ab", false},
		"three times ctrl-p": {"\x10\x11", []string{"\x10", "\x10", "\x10", "x"}, "\x10\x10\x10x", false},
	} {
		k, got, detached := NewKeyFilter([]byte(tc.seq)), []byte(nil), false
		for _, in := range tc.in {
			got, detached = k.Filter(got, []byte(in))
		}
		if string(got) != tc.want || detached != tc.detached {
			t.Errorf("%s: got %q %v, want %q %v", name, got, detached, tc.want, tc.detached)
		}
	}
}
