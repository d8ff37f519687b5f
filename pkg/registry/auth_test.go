package registry_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/registry"
	"github.com/nook-containers/nook/pkg/registry/registrytest"
)

// keychain has one file with one entry, the password of user u.
func keychain(key, password string) registry.Keychain {
	auth := base64.StdEncoding.EncodeToString([]byte("u:" + password))
	return registry.Keychain{Files: []regconf.AuthFile{{
		Path: "/test/auth.json", Auths: map[string]regconf.AuthEntry{key: {Auth: auth}},
	}}}
}

func TestAuthentication(t *testing.T) {
	img := image(t, 1000, 2)
	for name, tc := range map[string]struct {
		fault *registrytest.Fault
		keys  func(host string) registry.Keychain
		fails string // "" if the pull works
		hint  string
	}{
		"anonymous token": {(&registrytest.Tokens{}).Fault(), nil, "", ""},
		"access_token":    {(&registrytest.Tokens{Field: "access_token"}).Fault(), nil, "", ""},
		"token for a password": {
			(&registrytest.Tokens{User: "u", Password: "p:w"}).Fault(),
			func(h string) registry.Keychain { return keychain(h, "p:w") }, "", "",
		},
		"token expires in mid-pull": {(&registrytest.Tokens{Uses: 2}).Fault(), nil, "", ""},
		"token for a refresh token": {
			(&registrytest.Tokens{IdentityToken: "idt"}).Fault(),
			func(h string) registry.Keychain {
				return registry.Keychain{Files: []regconf.AuthFile{{Auths: map[string]regconf.AuthEntry{h: {Auth: "dTo=", IdentityToken: "idt"}}}}}
			}, "", "",
		},
		"basic": {
			registrytest.Basic("u", "p"),
			func(h string) registry.Keychain { return keychain(h, "p") }, "", "",
		},
		"basic, of the repository": {
			registrytest.Basic("u", "p"),
			func(h string) registry.Keychain { return keychain(h+"/a/b", "p") }, "", "",
		},
		"basic, of another repository": {
			registrytest.Basic("u", "p"),
			func(h string) registry.Keychain { return keychain(h+"/a/c", "p") }, "none were found", "--creds USER:PASSWORD",
		},
		"basic, wrong": {
			registrytest.Basic("u", "p"),
			func(h string) registry.Keychain { return keychain(h, "x") }, `refused the credentials from /test/auth.json (entry "`, "may pull",
		},
		"basic, --creds": {
			registrytest.Basic("u", "p"),
			func(h string) registry.Keychain {
				k := keychain(h, "wrong")
				k.Explicit = registry.Credentials{Username: "u", Password: "p", Source: "--creds"}
				return k
			}, "", "",
		},
		"basic, nobody": {registrytest.Basic("u", "p"), nil, "none were found", "auth.json"},
		"token, wrong": {
			(&registrytest.Tokens{User: "u", Password: "p"}).Fault(),
			func(h string) registry.Keychain { return keychain(h, "x") }, "refused the credentials from /test/auth.json", "may pull",
		},
		"token, nobody": {(&registrytest.Tokens{User: "u", Password: "p"}).Fault(), nil, "none were found", "auth.json"},
		"helper": {
			registrytest.Basic("u", "p"),
			func(h string) registry.Keychain {
				return registry.Keychain{
					Files: []regconf.AuthFile{{Path: "f", CredHelpers: map[string]string{h: "fake"}}},
					Helper: func(_ context.Context, name, server string) (string, string, error) {
						if name != "fake" || server != h {
							return "", "", errors.New("asked for " + server)
						}
						return "u", "p", nil
					},
				}
			}, "", "",
		},
		"helper is missing and nobody asks for a password": {
			(&registrytest.Tokens{}).Fault(),
			func(string) registry.Keychain {
				return registry.Keychain{
					Files:  []regconf.AuthFile{{Path: "f", CredsStore: "desktop"}},
					Helper: func(context.Context, string, string) (string, string, error) { return "", "", registry.ErrNoHelper },
				}
			}, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := registrytest.New(t)
			s.Push(t, "a/b:1", img)
			s.Inject(tc.fault)
			var o registry.Options
			if tc.keys != nil {
				o.Keychain = tc.keys(s.Host)
			}
			_, err := pull(t.Context(), client(o), mustRef(t, s.Host+"/a/b:1"))
			if tc.fails == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, registry.ErrUnauthorized) || !strings.Contains(err.Error(), tc.fails) {
				t.Errorf("got %v, want %q", err, tc.fails)
			}
			if hint := problem.HintOf(err); !strings.Contains(hint, tc.hint) {
				t.Errorf("hint %q, want %q in it", hint, tc.hint)
			}
			if strings.Contains(err.Error()+problem.HintOf(err), "p:w") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

// A token that is never accepted must not be fetched for ever.
func TestUselessTokensEnd(t *testing.T) {
	s := registrytest.New(t)
	tokens := &registrytest.Tokens{}
	s.Inject(registrytest.NewFault(registrytest.Manifests, registrytest.Always, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}), tokens.Fault())
	_, err := pull(t.Context(), client(registry.Options{}), mustRef(t, s.Host+"/a/b:1"))
	if !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
	if n := tokens.Issued(); n != 1 {
		t.Errorf("fetched %d tokens, want 1", n)
	}
}

// One token serves a whole pull.
func TestTokenIsShared(t *testing.T) {
	s := registrytest.New(t)
	s.Push(t, "a:1", image(t, 100, 4))
	tokens := &registrytest.Tokens{}
	s.Inject(tokens.Fault())
	if _, err := pull(t.Context(), client(registry.Options{}), mustRef(t, s.Host+"/a:1")); err != nil {
		t.Fatal(err)
	}
	if n := tokens.Issued(); n != 1 {
		t.Errorf("fetched %d tokens, want 1", n)
	}
	for _, r := range s.Requests() {
		if r.Path == "/token" {
			if q, err := url.ParseQuery(r.Query); err != nil || q.Get("scope") != "repository:a:pull" || q.Get("service") != "test" {
				t.Errorf("asked for a token with %q", r.Query)
			}
		}
	}
}

// leaks lists the secrets that a server was sent.
func leaks(s *registrytest.Server) []string {
	var found []string
	for _, r := range s.Requests() {
		for _, h := range []string{"Authorization", "Referer", "Cookie"} {
			if v := r.Header.Get(h); v != "" {
				found = append(found, h+": "+v)
			}
		}
		if r.Body != "" {
			found = append(found, "body: "+r.Body)
		}
	}
	return found
}

// Blobs may be elsewhere; the credentials stay.
func TestRedirectedBlobsCarryNoCredentials(t *testing.T) {
	img := image(t, 1000, 2)
	s, other := registrytest.New(t), registrytest.New(t)
	s.Push(t, "a:1", img)
	other.Push(t, "a:1", img)
	s.Inject(registrytest.Basic("u", "p"), registrytest.Redirect(registrytest.Blobs, registrytest.Always, other.URL))
	if _, err := pull(t.Context(), client(registry.Options{Keychain: keychain(s.Host, "p")}), mustRef(t, s.Host+"/a:1")); err != nil {
		t.Fatal(err)
	}
	if other.Count("/blobs/") != 3 {
		t.Fatalf("the other server saw %d blobs, want 3", other.Count("/blobs/"))
	}
	if got := leaks(other); len(got) > 0 {
		t.Errorf("sent to the other server: %q", got)
	}
	if len(leaks(s)) == 0 {
		t.Error("control: the registry itself got no credentials either")
	}
}

// A server that blobs are redirected to is not asked to whom it would listen.
func TestChallengeOfAnotherHostIsIgnored(t *testing.T) {
	img := image(t, 1000, 1)
	s, other := registrytest.New(t), registrytest.New(t)
	s.Push(t, "a:1", img)
	s.Inject(registrytest.Basic("u", "p"), registrytest.Redirect(registrytest.Blobs, registrytest.Always, other.URL))
	other.Inject(registrytest.Basic("u", "p"))
	if _, err := pull(t.Context(), client(registry.Options{Keychain: keychain(s.Host, "p")}), mustRef(t, s.Host+"/a:1")); err == nil {
		t.Error("pulled")
	}
	if got := leaks(other); len(got) > 0 {
		t.Errorf("sent to the other server: %q", got)
	}
}

func TestTokenServerMustNotRedirect(t *testing.T) {
	s, other := registrytest.New(t), registrytest.New(t)
	s.Push(t, "a:1", image(t, 10, 1))
	s.Inject(registrytest.Redirect(registrytest.Path("/token"), registrytest.Always, other.URL), (&registrytest.Tokens{User: "u", Password: "p"}).Fault())
	_, err := pull(t.Context(), client(registry.Options{Keychain: keychain(s.Host, "p")}), mustRef(t, s.Host+"/a:1"))
	if err == nil || !strings.Contains(err.Error(), "token server redirects") {
		t.Errorf("got %v", err)
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("the other server saw %d requests", n)
	}
}

// tlsClient trusts s as a certs.d directory says.
func tlsClient(certDir string, o registry.Options) *registry.Client {
	o.CertDirs = func(string) ([]string, error) { return []string{"/nonexistent", certDir}, nil }
	return client(o)
}

func TestRealmOfATLSRegistryMustBeTLS(t *testing.T) {
	s, certs := registrytest.NewTLS(t)
	plain := registrytest.New(t)
	s.Push(t, "a:1", image(t, 10, 1))
	s.Inject((&registrytest.Tokens{User: "u", Password: "p", Realm: plain.URL + "/token"}).Fault())
	_, err := pull(t.Context(), tlsClient(certs, registry.Options{Keychain: keychain(s.Host, "p")}), mustRef(t, s.Host+"/a:1"))
	if err == nil || !strings.Contains(err.Error(), "want https") {
		t.Errorf("got %v", err)
	}
	if got := leaks(plain); len(got) > 0 || len(plain.Requests()) > 0 {
		t.Errorf("the plain server was asked, and sent %q", got)
	}
}

func TestRealmFormsThatAreRefused(t *testing.T) {
	for _, realm := range []string{"", "/token", "file:///etc/passwd", "ftp://127.0.0.1/", "http://", "http://u:p@127.0.0.1/", "::"} {
		s := registrytest.New(t)
		s.Inject(registrytest.NewFault(registrytest.All, registrytest.Always, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		if _, err := pull(t.Context(), client(registry.Options{}), mustRef(t, s.Host+"/a:1")); err == nil || !strings.Contains(err.Error(), "fetch token") {
			t.Errorf("realm %q: %v", realm, err)
		}
	}
}

func TestHugeTokenAndErrorBody(t *testing.T) {
	huge := []byte(`{"token":"` + strings.Repeat("x", 2<<20) + `"}`)
	s := registrytest.New(t)
	s.Inject(registrytest.Replace(registrytest.Path("/token"), registrytest.Always, "application/json", huge), (&registrytest.Tokens{}).Fault())
	_, err := pull(t.Context(), client(registry.Options{}), mustRef(t, s.Host+"/a:1"))
	if err == nil || !strings.Contains(err.Error(), "larger than 1024 KiB") {
		t.Errorf("huge token: %v", err)
	}
	s.Clear()
	s.Inject(registrytest.NewFault(registrytest.All, registrytest.Always, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(`{"errors":[{"code":"X","message":"\u001b[31m` + strings.Repeat("a", 10_000) + `"}]}`))
	}))
	_, err = pull(t.Context(), client(registry.Options{}), mustRef(t, s.Host+"/a:1"))
	if err == nil || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "X: ") {
		t.Errorf("error body: %d bytes, %q", len(err.Error()), err)
	}
}

// Redirects to this machine's own services are for registries on this machine.
func TestRegistryMustNotLeadInside(t *testing.T) {
	inside := registrytest.New(t)
	_, port, _ := strings.Cut(inside.Host, ":")
	img := image(t, 10, 1)
	inside.Push(t, "a:1", img)
	for name, host := range map[string]string{
		"address": inside.URL, "name": "http://localhost:" + port, "metadata": "http://169.254.169.254",
		"mapped": "http://[::ffff:127.0.0.1]:" + port, "any": "http://0.0.0.0:" + port,
	} {
		s := registrytest.New(t)
		s.Push(t, "a:1", img)
		s.Inject(registrytest.Redirect(registrytest.Blobs, registrytest.Always, host))
		before := len(inside.Requests())
		// registry.test stands for a registry elsewhere; a proxy takes us there.
		o := registry.Options{TLSVerify: new(bool), Retries: -1, Proxy: func(r *http.Request) (*url.URL, error) {
			if r.URL.Hostname() != "registry.test" {
				return nil, nil
			}
			return url.Parse(s.URL)
		}}
		_, err := pull(t.Context(), client(o), mustRef(t, "registry.test:"+portOf(s)+"/a:1"))
		if err == nil || !strings.Contains(err.Error(), "inside this machine") {
			t.Errorf("%s: got %v", name, err)
		}
		if len(inside.Requests()) != before {
			t.Errorf("%s: the inner server was reached", name)
		}
		s.Clear()
		if _, err := pull(t.Context(), client(o), mustRef(t, "registry.test:"+portOf(s)+"/a:1")); err != nil {
			t.Errorf("%s: control without the redirect: %v", name, err)
		}
	}
}

func portOf(s *registrytest.Server) string {
	_, port, _ := strings.Cut(s.Host, ":")
	return port
}

func TestTLS(t *testing.T) {
	img := image(t, 10, 1)
	no, yes := false, true
	s, certs := registrytest.NewTLS(t)
	s.Push(t, "a:1", img)
	plain := registrytest.New(t)
	plain.Push(t, "a:1", img)
	empty := t.TempDir()
	insecure := regconf.Registries{Registries: []regconf.Registry{{Prefix: s.Host, Insecure: true}}}
	for name, tc := range map[string]struct {
		host  string
		o     registry.Options
		fails string
	}{
		"certs.d":                      {s.Host, registry.Options{}, ""},
		"--cert-dir":                   {s.Host, registry.Options{CertDir: certs}, ""},
		"unknown authority":            {s.Host, registry.Options{CertDir: empty}, "certificate"},
		"--tls-verify=false":           {s.Host, registry.Options{CertDir: empty, TLSVerify: &no}, ""},
		"insecure":                     {s.Host, registry.Options{CertDir: empty, Config: insecure}, ""},
		"--tls-verify beats insecure":  {s.Host, registry.Options{CertDir: empty, TLSVerify: &yes, Config: insecure}, "certificate"},
		"plain HTTP on loopback":       {plain.Host, registry.Options{}, ""},
		"plain HTTP, --tls-verify":     {plain.Host, registry.Options{TLSVerify: &yes}, "HTTP response to HTTPS client"},
		"plain HTTP elsewhere":         {"registry.test:" + portOf(plain), registry.Options{Proxy: proxyTo(plain)}, ""},
		"plain HTTP elsewhere, forced": {"registry.test:" + portOf(plain), registry.Options{Proxy: proxyTo(plain), TLSVerify: &no}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasSuffix(name, "elsewhere") {
				tc.fails = "registry.test" // whatever TLS through a plain proxy ends in
			}
			_, err := pull(t.Context(), tlsClient(certs, tc.o), mustRef(t, tc.host+"/a:1"))
			if tc.fails == "" && err != nil {
				t.Error(err)
			}
			if tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)) {
				t.Errorf("got %v, want %q", err, tc.fails)
			}
		})
	}
}

// proxyTo makes s stand for every plain server, and nothing for those with TLS.
func proxyTo(s *registrytest.Server) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return url.Parse(s.URL) }
}

func TestBadCertificateFilesAreNamed(t *testing.T) {
	s, certs := registrytest.NewTLS(t)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for file, content := range map[string]string{"x.crt": "not PEM", "y.key": "k", "z.cert": string(cert)} {
		path := filepath.Join(certs, file)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := pull(t.Context(), tlsClient(certs, registry.Options{}), mustRef(t, s.Host+"/a:1"))
		if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(path, filepath.Ext(path))) {
			t.Errorf("%s: %v", file, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMirrors(t *testing.T) {
	img := image(t, 1000, 2)
	main, mirror, dead := registrytest.New(t), registrytest.New(t), registrytest.New(t)
	main.Push(t, "a:1", img)
	mirror.Push(t, "cache/a:1", img)
	dead.Close()
	cfg := regconf.Registries{Registries: []regconf.Registry{{
		Prefix: main.Host, Location: main.Host,
		Mirrors: []regconf.Mirror{{Location: dead.Host}, {Location: mirror.Host + "/cache"}},
	}}}
	ref := mustRef(t, main.Host+"/a:1")
	explicit := registry.Keychain{Explicit: registry.Credentials{Username: "u", Password: "p"}}
	if _, err := pull(t.Context(), client(registry.Options{Config: cfg}), ref); err != nil {
		t.Fatal(err)
	}
	if n := len(main.Requests()); n != 0 {
		t.Errorf("a mirror has everything, and the primary location got %d requests", n)
	}
	// A layer that the mirror lost comes from the primary location.
	mirror.Inject(registrytest.Status(layerBlobs(t, img), registrytest.Always, 404))
	if _, err := pull(t.Context(), client(registry.Options{Config: cfg}), ref); err != nil {
		t.Fatal(err)
	}
	if main.Count("/blobs/") != 1 {
		t.Errorf("the primary location was asked for %d blobs, want 1", main.Count("/blobs/"))
	}
	// All of it from the primary location, and --creds for nobody else.
	mirror.Inject(registrytest.Basic("u", "p"))
	main.Inject(registrytest.Basic("u", "p"))
	if _, err := pull(t.Context(), client(registry.Options{Config: cfg, Keychain: explicit}), ref); err != nil {
		t.Fatal(err)
	}
	if got := leaks(mirror); len(got) > 0 {
		t.Errorf("sent to the mirror: %q", got)
	}
	main.Close()
	_, err := pull(t.Context(), client(registry.Options{Config: cfg}), ref)
	for _, host := range []string{main.Host, mirror.Host, dead.Host} {
		if err == nil || !strings.Contains(err.Error(), host) {
			t.Errorf("%v does not name %s", err, host)
		}
	}
}
