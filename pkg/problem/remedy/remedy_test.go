package remedy_test

import (
	"os/exec"
	"testing"

	"github.com/nook-containers/nook/pkg/problem/remedy"
)

func TestSysctl(t *testing.T) {
	want := "echo 'net.ipv4.ping_group_range=0 9' | sudo tee /etc/sysctl.d/99-nook-ping_group_range.conf && sudo sysctl -p /etc/sysctl.d/99-nook-ping_group_range.conf"
	got := remedy.Sysctl("net.ipv4.ping_group_range", "0 9")
	if got != want {
		t.Errorf("got %s", got)
	}
	if !remedy.NeedsRoot(got) || remedy.NeedsRoot(remedy.AsRoot(got)) {
		t.Errorf("as root: %s", remedy.AsRoot(got))
	}
}

func TestInstall(t *testing.T) {
	for distro, want := range map[string]string{
		"ubuntu debian": "sudo apt-get install -y uidmap",
		"rocky rhel":    "sudo dnf install -y shadow-utils",
		"manjaro arch":  "sudo pacman -S --noconfirm --needed shadow",
		"alpine":        "sudo apk add shadow-uidmap",
		"sles":          "sudo zypper --non-interactive install shadow",
	} {
		if got, ok := remedy.Install(distro, remedy.UIDMap()); got != want || !ok {
			t.Errorf("%s: %q", distro, got)
		}
	}
	if got, ok := remedy.Install("plan9", remedy.FuseOverlayfs()); ok || got != "install the package fuse-overlayfs" {
		t.Errorf("unknown distribution: %q, %v", got, ok)
	}
}

func TestQuoteIsOneWordToTheShell(t *testing.T) {
	for _, s := range []string{"", "plain", "a b", "it's", "$(id)`x`", "\"\\", "*", "a\nb"} {
		out, err := exec.Command("sh", "-c", "printf %s "+remedy.Quote(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q became %q, %v", s, out, err)
		}
	}
}

func TestDistro(t *testing.T) {
	if got := remedy.Distro("NAME=X\nID=\"rocky\"\nID_LIKE='rhel centos'\n"); got != "rocky rhel centos" {
		t.Errorf("got %q", got)
	}
}
