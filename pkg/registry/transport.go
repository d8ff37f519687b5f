package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	dialTimeout = 30 * time.Second
	tlsTimeout  = 30 * time.Second
	idleTimeout = 30 * time.Second
)

// guardedTransport is an http.Transport that dials only where its registry may
// lead it. A registry names further hosts (token servers, storage it redirects
// to); such a foreign host must not turn out to be a service of this machine or a
// cloud's metadata service at 169.254.169.254. The check is made on the address
// that is dialled, because a name can resolve to anything. Through a proxy it is
// the proxy that dials, and only names that are addresses can be checked.
type guardedTransport struct {
	*http.Transport
	own     string   // host:port of the registry, either scheme's port
	proxies sync.Map // host:port → struct{}: where requests are sent by a proxy
	local   atomic.Bool
}

func (c *Client) newTransport(k hostKey) (*guardedTransport, error) {
	conf, err := c.tlsConfig(k)
	if err != nil {
		return nil, err
	}
	g := &guardedTransport{own: serverOf(k.host)}
	g.Transport = &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			u, err := c.o.Proxy(r)
			if u != nil {
				g.proxies.Store(withPort(u), struct{}{})
			}
			return u, err
		},
		DialContext:         g.dial,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: tlsTimeout,
		IdleConnTimeout:     idleTimeout,
		MaxIdleConnsPerHost: c.o.Parallel,
		DisableCompression:  true, // digests are of the bytes as they are sent
		ForceAttemptHTTP2:   true,
	}
	return g, nil
}

func (g *guardedTransport) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	_, proxy := g.proxies.Load(addr)
	own := g.isOwn(addr)
	d.ControlContext = func(_ context.Context, _, remote string, _ syscall.RawConn) error {
		ip, err := netip.ParseAddrPort(remote)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", remote, err)
		}
		inner := innerAddress(ip.Addr())
		switch {
		case proxy:
		case own:
			g.local.Store(inner)
		case inner && !g.local.Load():
			return fmt.Errorf("connect to %s at %s: %w", addr, ip.Addr(), errInnerAddress)
		}
		return nil
	}
	return d.DialContext(ctx, network, addr)
}

var errInnerAddress = errors.New("the registry leads to an address inside this machine, refused")

// isOwn reports whether addr, host:port, is the registry itself.
func (g *guardedTransport) isOwn(addr string) bool {
	if strings.EqualFold(addr, g.own) {
		return true
	}
	host, port, err := net.SplitHostPort(addr)
	return err == nil && (port == "443" || port == "80") && strings.EqualFold(host, strings.Trim(g.own, "[]"))
}

// innerAddress reports addresses that mean this machine or its link: loopback,
// unspecified, link-local and multicast (RFC 6890).
func innerAddress(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast()
}

// withPort is the host:port of u, as the transport dials it.
func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := "80"
	switch u.Scheme {
	case "https":
		port = "443"
	case "socks5", "socks5h":
		port = "1080"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// tlsConfig reads the TLS files of a host: *.crt are certificate authorities,
// X.cert and X.key a client certificate (containers-certs.d(5)). Of the
// directories the first that exists counts.
func (c *Client) tlsConfig(k hostKey) (*tls.Config, error) {
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: k.insecure, // registries.conf or --tls-verify=false asked for it
	}
	if c.o.CertDir != "" {
		return conf, addCertDir(conf, c.o.CertDir)
	}
	dirs, err := c.o.CertDirs(k.host)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return conf, addCertDir(conf, dir)
	}
	return conf, nil
}

func addCertDir(conf *tls.Config, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch filepath.Ext(e.Name()) {
		case ".crt":
			err = addAuthority(conf, path)
		case ".cert":
			err = addClientCert(conf, path, strings.TrimSuffix(path, ".cert")+".key")
		case ".key":
			_, err = os.Stat(strings.TrimSuffix(path, ".key") + ".cert")
		}
		if err != nil {
			return fmt.Errorf("read certificates: %w", err)
		}
	}
	return nil
}

func addAuthority(conf *tls.Config, path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if conf.RootCAs == nil {
		if conf.RootCAs, err = x509.SystemCertPool(); err != nil {
			conf.RootCAs = x509.NewCertPool()
		}
	}
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s: no PEM certificate in it", path)
	}
	return nil
}

func addClientCert(conf *tls.Config, cert, key string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s with key %s: %w", cert, key, err)
	}
	conf.Certificates = append(conf.Certificates, pair)
	return nil
}
