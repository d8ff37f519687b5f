package container

import (
	"slices"
	"testing"
)

func TestWithoutCreds(t *testing.T) {
	got := withoutCreds([]string{"run", "--creds", "me:pw", "--creds=me:pw", "-e", "A=1", "image", "creds"})
	if want := []string{"run", "-e", "A=1", "image", "creds"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProxies(t *testing.T) {
	got := proxies([]string{"http_proxy=a", "HTTPS_PROXY=b", "NO_PROXY=", "MY_PROXY=c", "ftp_proxy=d", "HOME=e"})
	if want := []string{"http_proxy=a", "HTTPS_PROXY=b", "ftp_proxy=d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAddedHost(t *testing.T) {
	for text, want := range map[string]string{
		"a:192.0.2.1": "a:192.0.2.1", "a;b:192.0.2.1": "a b:192.0.2.1", "a:::1": "a:::1", "a:[2001:db8::1]": "a:2001:db8::1", "a:host-gateway": "a:host-gateway",
	} {
		if got, err := addedHost(text); err != nil || got != want {
			t.Errorf("addedHost(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "a", "a:", ":192.0.2.1", "a:b", "a b:192.0.2.1", "a;:192.0.2.1", "a\nb:192.0.2.1"} {
		if got, err := addedHost(bad); err == nil {
			t.Errorf("addedHost(%q) = %q, want an error", bad, got)
		}
	}
}
