package syntax

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nook-containers/nook/libpod/spec"
)

// What reaches a command's environment is NAME=VALUE without a NUL byte, which
// execve(2) would end it at.
func FuzzEnvFile(f *testing.F) {
	f.Add("A=1\n# no\n  B = 2\nHOST\nH*\n")
	f.Add("\ufeffA=\x00\r\n=x\n*\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := EnvFile("f", text, []string{"HOST=h", "HOME=/root", "=C:=x", "X"})
		if err != nil {
			return
		}
		for _, e := range got {
			if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(e, "\x00\n") {
				t.Errorf("%q gives %q", text, e)
			}
		}
	})
}

// FuzzValues gives one text to every parser of a single value. What they accept is
// in bounds.
func FuzzValues(f *testing.F) {
	for _, s := range []string{
		"nofile=1024:2048", "/dev/null:/dev/x:rwm", "keep-id:uid=1,gid=2", "10m", "on-failure:3", "seccomp=unconfined", "a=b",
		"0022", `["a","b"]`, "1.5", "0-3,7", "/dev/sda:1mb", "mysecret,type=env,target=X", "c1:ro,z", "1m30s", "type=tmpfs,dst=/x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if u, err := Ulimit(text); err == nil && (u.Name == "" || u.Hard >= 0 && (u.Soft > u.Hard || u.Soft < 0)) {
			t.Errorf("ulimit %q: %+v", text, u)
		}
		if d, err := Device(text); err == nil && (d.Target != "" && !strings.HasPrefix(d.Target, "/") || strings.Contains(d.Target, "/../")) {
			t.Errorf("device %q: %+v", text, d)
		}
		if n, err := Bytes(text); err == nil && n < 0 {
			t.Errorf("bytes %q: %d", text, n)
		}
		if quota, period, err := CPUs(text); err == nil && (quota < 0 || period == 0) {
			t.Errorf("cpus %q: %d of %d", text, quota, period)
		}
		if m, err := Umask(text); err == nil && m != nil && *m > 0o777 {
			t.Errorf("umask %q: %o", text, *m)
		}
		if Name(text) == nil && strings.ContainsAny(text, "/\x00 \n") {
			t.Errorf("name %q", text)
		}
		if d, err := HealthTime("t", text, time.Millisecond); err == nil && d < 0 {
			t.Errorf("time %q: %v", text, d)
		}
		fuzzMore(text)
	})
}

// fuzzMore has those of which nothing is asked but an answer.
func fuzzMore(text string) {
	_, _ = UserNS(text)
	_, _ = Limit(text)
	_, _ = Rate(text)
	_, _ = Count(text)
	_, _ = IOWeight(text)
	_ = CPUSet(text)
	_, _ = DeviceAmount(text, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	_, _ = Restart(text)
	_, _ = Entrypoint(text)
	_, _ = HealthCommand(text)
	_, _ = HealthInterval("t", text)
	_, _ = Secret(text)
	_, _ = VolumesFrom(text)
	_, _, _ = Label(text)
	_, _ = Log("k8s-file", []string{text}, "/")
	_ = SecurityOpt(&spec.Security{}, text, func(string) ([]byte, error) { return []byte(text), nil })
}
