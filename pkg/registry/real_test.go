package registry_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/nook-containers/nook/pkg/registry"
)

// realConfig is that of the distribution project's registry, which answers
// ranges, challenges and errors as most registries in the world do.
const realConfig = `version: 0.1
log: {level: info, formatter: json}
storage: {filesystem: {rootdirectory: %[1]s}}
auth: {htpasswd: {realm: test, path: %[1]s/htpasswd}}
http:
  addr: 127.0.0.1:0
  tls: {certificate: %[1]s/server.crt, key: %[1]s/server.key}
`

// htpasswd is user "u" with password "secret", by bcrypt.
const htpasswd = "u:$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"

// startReal serves dir with TLS and a password. The program is Debian's
// docker-registry; without it there is no test of a real registry, which is worth
// a failure.
func startReal(t *testing.T, dir string) (host string) {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatalf("%v\nrun: apt-get install docker-registry", err)
	}
	writeFile(t, dir, "config.yml", fmt.Sprintf(realConfig, dir))
	writeFile(t, dir, "htpasswd", htpasswd)
	cmd := exec.CommandContext(t.Context(), program, "serve", filepath.Join(dir, "config.yml"))
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		_ = cmd.Wait() // says "killed"
	})
	listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
	lines := bufio.NewReader(log)
	var said strings.Builder
	for {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			go func() { _, _ = io.Copy(io.Discard, lines) }() // until it ends
			return m[1]
		}
		if err != nil {
			t.Fatalf("docker-registry ended:\n%s", &said)
		}
	}
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// authority makes a certificate authority and a certificate for 127.0.0.1 of its,
// server.crt with server.key in dir and ca.crt in the directory it returns.
func authority(t *testing.T, dir string) (certDir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := func(serial int64, cn string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: cn},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	ca := template(1, "test authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf := template(2, "test registry")
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certDir = t.TempDir()
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	writeFile(t, certDir, "ca.crt", encode("CERTIFICATE", caDER))
	writeFile(t, dir, "server.crt", encode("CERTIFICATE", leafDER))
	writeFile(t, dir, "server.key", encode("EC PRIVATE KEY", keyDER))
	return certDir
}

// pushReal stores img with go-containerregistry's client.
func pushReal(t *testing.T, certDir, where string, img v1.Image) {
	t.Helper()
	ca, err := os.ReadFile(filepath.Join(certDir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	tr := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	ref, err := name.ParseReference(where)
	if err != nil {
		t.Fatal(err)
	}
	auth := &authn.Basic{Username: "u", Password: "secret"}
	if err := remote.Write(ref, img, remote.WithTransport(tr), remote.WithAuth(auth), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestRealRegistry(t *testing.T) {
	dir := t.TempDir()
	certs := authority(t, dir)
	host := startReal(t, dir)
	img := image(t, 200_000, 3)
	pushReal(t, certs, host+"/team/app:v1", img)
	ref := mustRef(t, host+"/team/app:v1")
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ref  registry.Reference
		keys registry.Keychain
		is   error
	}{
		"tag":                {ref, keychain(host, "secret"), nil},
		"digest":             {mustRef(t, host+"/team/app@"+digest.String()), keychain(host+"/team", "secret"), nil},
		"wrong password":     {ref, keychain(host, "wrong"), registry.ErrUnauthorized},
		"no password":        {ref, registry.Keychain{}, registry.ErrUnauthorized},
		"no such tag":        {mustRef(t, host+"/team/app:v2"), keychain(host, "secret"), registry.ErrNotFound},
		"no such repository": {mustRef(t, host+"/team/other:v1"), keychain(host, "secret"), registry.ErrNotFound},
		"no such digest":     {mustRef(t, host+"/team/app@sha256:"+hex64), keychain(host, "secret"), registry.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pull(t.Context(), tlsClient(certs, registry.Options{Keychain: tc.keys}), tc.ref)
			if !errors.Is(err, tc.is) {
				t.Errorf("got %v, want %v", err, tc.is)
			}
			if tc.is == nil && got != configDigest(t, img) {
				t.Errorf("pulled %q, %v", got, err)
			}
		})
	}
	t.Run("unknown authority", func(t *testing.T) {
		_, err := pull(t.Context(), client(registry.Options{Keychain: keychain(host, "secret")}), ref)
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("tags", func(t *testing.T) {
		tags, err := tlsClient(certs, registry.Options{Keychain: keychain(host, "secret")}).Tags(t.Context(), ref)
		if err != nil || len(tags) != 1 || tags[0] != "v1" {
			t.Errorf("%q, %v", tags, err)
		}
	})
	t.Run("damaged on the server", func(t *testing.T) { damagedOnServer(t, dir, certs, host, img) })
}

// damagedOnServer flips a byte of a layer in the registry's own files.
func damagedOnServer(t *testing.T, dir, certs, host string, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	h, err := layers[1].Digest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(dir, "docker/registry/v2/blobs/sha256", h.Hex[:2], h.Hex, "data")
	data, err := os.ReadFile(blob)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(blob, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = pull(t.Context(), tlsClient(certs, registry.Options{Keychain: keychain(host, "secret")}), mustRef(t, host+"/team/app:v1"))
	if !errors.Is(err, registry.ErrContent) {
		t.Errorf("got %v", err)
	}
}
