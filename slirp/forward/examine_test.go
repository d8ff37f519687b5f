package forward

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nook-containers/nook/pkg/doctor"
)

// TestExamineSettings fakes the files of /proc; test/script/doctor_hosts.txtar breaks
// real devices.
func TestExamineSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		ports, ping, groups      string
		wantPorts, wantPing, fix string
	}{
		"default":     {"1024\n", "1\t0\n", "1000", "ports from 1024 up", "not allowed", "ip_unprivileged_port_start=80"},
		"open":        {"80\n", "0\t2147483647\n", "1000", "ports from 80 up", "allowed", ""},
		"other group": {"0\n", "5\t9\n", "1000 10", "ports from 0 up", "not allowed", "net.ipv4.ping_group_range=0 2147483647"},
		"last group":  {"0\n", "5\t10\n", "1000 10", "ports from 0 up", "allowed", ""},
		"old kernel":  {"", "", "1000", "ports from 1024 up", "not allowed", "sudo sysctl -p"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range map[string]string{
				"/proc/sys/net/ipv4/ip_unprivileged_port_start": tc.ports,
				"/proc/sys/net/ipv4/ping_group_range":           tc.ping,
				"/proc/self/status":                             "Gid:\t1000\t1000\nGroups:\t" + tc.groups + "\n",
			} {
				p := filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got := Examine(&doctor.Host{Root: root})
			if got[0].Level != doctor.Problem || got[0].Found != "/dev/net/tun is missing" {
				t.Errorf("%+v", got[0])
			}
			if got[1].Found != tc.wantPorts || got[2].Found != tc.wantPing || !strings.Contains(got[1].Fix+got[2].Fix, tc.fix) || tc.fix == "" && got[1].Fix+got[2].Fix != "" {
				t.Errorf("got %+v", got[1:])
			}
		})
	}
}
