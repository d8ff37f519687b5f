package netstack_test

import (
	"io"
	"testing"
	"time"

	"github.com/nook-containers/nook/slirp/netstack"
	"github.com/nook-containers/nook/slirp/slirptest"
)

func TestMain(m *testing.M) { slirptest.Main(m) }

func TestSmoke(t *testing.T) {
	guest, n := slirptest.Start(t, netstack.Backend{}, slirptest.Config())
	l := slirptest.Server().Listen(t, "tcp", slirptest.Far4+":80")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()
	c, err := guest.Dial(t.Context(), "tcp", slirptest.Far4+":80")
	if err != nil {
		t.Fatal(err, n.Stats())
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	c.Write([]byte("hello"))
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Fatal(err, string(b))
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Fatal(err, rest)
	}
	t.Logf("%+v", n.Stats())
}
