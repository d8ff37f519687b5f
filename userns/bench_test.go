package userns

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// benchStart starts children that end as soon as they are members; ns/op is their
// whole life, from Start to Wait, and start-ns/op is Start alone.
func benchStart(b *testing.B, dir string) {
	b.Helper()
	var inStart time.Duration
	for b.Loop() {
		t := time.Now()
		p, err := Start(b.Context(), Options{
			RunDir: dir, Args: []string{asChild, dir, "end"}, Env: os.Environ(), Stderr: os.Stderr,
		})
		if err != nil {
			b.Fatal(err)
		}
		inStart += time.Since(t)
		if st, err := p.Wait(); err != nil || st != 0 {
			b.Fatal(st, err)
		}
	}
	b.ReportMetric(float64(inStart.Nanoseconds())/float64(b.N), "start-ns/op")
}

func BenchmarkCreate(b *testing.B) { benchStart(b, filepath.Join(b.TempDir(), "run")) }

func BenchmarkJoin(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "run")
	in, hold, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	out, say, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	p, err := Start(b.Context(), Options{
		RunDir: dir, Args: []string{asChild, dir, "hold"}, Env: os.Environ(), Stdin: in, Stdout: say, Stderr: os.Stderr,
	})
	in.Close()
	say.Close()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	defer func() {
		hold.Close()
		_, rerr := io.Copy(io.Discard, out)
		_, werr := p.Wait()
		if err := errors.Join(rerr, werr); err != nil {
			b.Error(err)
		}
	}()
	benchStart(b, dir)
}
