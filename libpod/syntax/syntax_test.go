package syntax

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

// show prints a value so that a table can hold it.
func show(v any, err error) string {
	if err != nil {
		if !errors.Is(err, ErrSyntax) {
			return "not an ErrSyntax: " + err.Error()
		}
		_, cause, _ := strings.Cut(err.Error(), ErrSyntax.Error()+": ")
		return "error: " + cause
	}
	return fmt.Sprintf("%+v", v)
}

func TestVolume(t *testing.T) {
	for in, want := range map[string]string{
		"/a:/b":               "{Type:bind Source:/a Target:/b ReadOnly:false Options:[]}",
		"./a:/b/../c:ro":      "{Type:bind Source:/cwd/a Target:/c ReadOnly:true Options:[]}",
		"..:/b:noexec,rslave": "{Type:bind Source:/ Target:/b ReadOnly:false Options:[noexec rslave]}",
		"/a:/b:rw,":           "{Type:bind Source:/a Target:/b ReadOnly:false Options:[]}",
		"/a":                  "error: anonymous volumes are not there yet; want HOST-DIR:CONTAINER-DIR[:OPTIONS]",
		"data:/b":             "error: named volumes are not there yet; a host path begins with / or ./",
		"/a:b":                "error: the path in the container must be absolute",
		"/a:/":                "error: cannot mount over the container's root",
		"/a:/b/..":            "error: cannot mount over the container's root",
		"/a:/b:ro:x":          "error: want HOST-DIR:CONTAINER-DIR[:OPTIONS]",
		"/a:/b:shared,slave":  "error: options shared and slave exclude each other",
		"/a:/b:U":             "error: option U (change the owner) is not there yet",
		"/a:/b:sparkling":     `error: unknown option "sparkling"`,
	} {
		if got := show(Volume(in, "/cwd")); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestMountFlag(t *testing.T) {
	for in, want := range map[string]string{
		"type=bind,src=/a,dst=/b,ro":                       "{Type:bind Source:/a Target:/b ReadOnly:true Options:[]}",
		"source=x,target=/b,readonly=false":                "{Type:bind Source:/cwd/x Target:/b ReadOnly:false Options:[]}",
		"type=bind,src=/a,dst=/b,rw=false":                 "{Type:bind Source:/a Target:/b ReadOnly:true Options:[]}",
		"type=bind,src=/a,dst=/b,bind-propagation=rshared": "{Type:bind Source:/a Target:/b ReadOnly:false Options:[rshared]}",
		"type=bind,src=/a,dst=/b,bind-nonrecursive":        "{Type:bind Source:/a Target:/b ReadOnly:false Options:[bind]}",
		"dst=/t,type=tmpfs,tmpfs-size=1m,tmpfs-mode=700":   "{Type:tmpfs Source: Target:/t ReadOnly:false Options:[size=1m mode=700 tmpcopyup]}",
		"type=tmpfs,dst=/t,notmpcopyup":                    "{Type:tmpfs Source: Target:/t ReadOnly:false Options:[mode=1777]}",
		"type=tmpfs,src=/a,dst=/t":                         "error: a tmpfs has no source",
		"type=bind,src=/a":                                 "error: target is missing",
		"type=bind,dst=/a":                                 "error: source is missing",
		"type=bind,src=,dst=/a":                            "error: source is empty",
		"type=volume,src=a,dst=/b":                         "error: type volume is not there yet",
		"type=moon,dst=/b":                                 `error: unknown type "moon"; want bind or tmpfs`,
		"type=bind,src=/a,dst=/b,bind-propagation=noexec":  `error: bind-propagation "noexec": want [r]private, [r]shared, [r]slave or [r]unbindable`,
		"type=bind,src=/a,dst=/b,shine":                    `error: unknown key "shine" for type bind`,
		"type=tmpfs,dst=/t,tmpfs-mode=9":                   "error: mode must be octal, as 1777",
		"type=bind,src=/a,dst=/b,ro=perhaps":               "error: ro must be true or false",
	} {
		if got := show(Mount(in, "/cwd")); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestValues(t *testing.T) {
	for name, tc := range map[string]struct{ got, want string }{
		"bytes":              {show(Bytes("64m")), "67108864"},
		"bytes, two letters": {show(Bytes("1GB")), "1073741824"},
		"bytes, plain":       {show(Bytes("12b")), "12"},
		"bytes, none":        {show(Bytes("")), "error: want a number with an optional unit b, k, m, g or t"},
		"bytes, fraction":    {show(Bytes("1.5m")), "error: want a number with an optional unit b, k, m, g or t"},
		"bytes, overflow":    {show(Bytes("9000000t")), "error: too large"},
		"ulimit":             {show(Ulimit("nofile=64:128")), "{Name:nofile Soft:64 Hard:128}"},
		"ulimit, one":        {show(Ulimit("CORE=unlimited")), "{Name:core Soft:-1 Hard:-1}"},
		"ulimit, crossed":    {show(Ulimit("nofile=2:1")), "error: the soft limit is above the hard one"},
		"ulimit, crossed -1": {show(Ulimit("nofile=-1:1")), "error: the soft limit is above the hard one"},
		"ulimit, no value":   {show(Ulimit("nofile")), "error: want NAME=SOFT[:HARD]"},
		"device":             {show(Device("/dev/fuse")), "{Source:/dev/fuse Target: Permissions:}"},
		"device, all":        {show(Device("/dev/a:/dev/b:rw")), "{Source:/dev/a Target:/dev/b Permissions:rw}"},
		"device, two":        {show(Device("/dev/a:r")), "{Source:/dev/a Target: Permissions:r}"},
		"device, CDI":        {show(Device("nvidia.com/gpu=all")), "error: CDI devices are not there yet"},
		"device, bad":        {show(Device("/dev/a:/b:q")), "error: permissions are some of r, w and m"},
		"userns, auto":       {show(UserNS("auto")), "error: mode auto is not there yet; want host, keep-id or nomap"},
		"userns, options":    {show(UserNS("nomap:uid=1")), "error: only keep-id takes options"},
		"userns, big":        {show(UserNS("keep-id:uid=4294967296")), "error: uid must be a number up to 2147483647"},
		"entrypoint":         {show(Entrypoint("")), "[]"},
		"entrypoint, JSON":   {show(Entrypoint(`["a","b c"]`)), "[a b c]"},
		"entrypoint, broken": {show(Entrypoint(`["a"`)), "error: want a JSON array of strings"},
		"name":               {show(nil, Name("a.b_c-1")), "<nil>"},
		"name, path":         {show(nil, Name("../up")), "error: use letters, digits, '_', '.' and '-', starting with a letter or digit"},
		"name, empty":        {show(nil, Name("")), "error: want 1 to 255 characters"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", name, tc.got, tc.want)
		}
	}
	u, err := UserNS("keep-id:uid=5,gid=6,size=7")
	if err != nil || u.Mode != spec.UserNSKeepID || *u.UID != 5 || *u.GID != 6 || u.Size != 7 {
		t.Errorf("keep-id: %+v, %v", u, err)
	}
}

func TestEnvironment(t *testing.T) {
	host := []string{"A=1", "AB=2", "C=x=y"}
	for in, want := range map[string]string{
		"X=": "[X=]", "A": "[A=1]", "NOPE": "[]", "A*": "[A=1 AB=2]", "C": "[C=x=y]", "*": "[A=1 AB=2 C=x=y]",
		"=x": "error: want NAME=VALUE, NAME or PREFIX*",
	} {
		if got := show(Env(in, host)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	got, err := EnvFile("f", "\ufeff# no\nA\n\n  B=\"q\" \r\nAB*\n", host)
	if fmt.Sprintf("%q", got) != `["A=1" "B=\"q\" " "AB=2"]` || err != nil {
		t.Errorf("file: %q, %v", got, err)
	}
	if _, err := EnvFile("f", "A=1\nb c=2\n", nil); err == nil || !strings.HasPrefix(err.Error(), "f:2: ") {
		t.Errorf("a bad line: %v", err)
	}
}

func TestSecurityOpt(t *testing.T) {
	var s spec.Security
	read := func(name string) ([]byte, error) {
		if name != "p.json" {
			return nil, errors.New("no such file")
		}
		return []byte("{}"), nil
	}
	for _, o := range []string{"no-new-privileges", "seccomp=p.json", "mask=/a:/b/../c", "unmask=all", "unmask=/proc/*"} {
		if err := SecurityOpt(&s, o, read); err != nil {
			t.Errorf("%s: %v", o, err)
		}
	}
	if got := fmt.Sprintf("%+v", s); got != "{NoNewPrivileges:true Seccomp:{} Mask:[/a /c] Unmask:[ALL /proc/*]}" {
		t.Errorf("got %s", got)
	}
	for _, o := range []string{"seccomp=gone.json", "seccomp=", "mask=a", "unmask=/[", "label=disable", "shields=up", "no-new-privileges=maybe"} {
		if err := SecurityOpt(&s, o, read); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v, want ErrSyntax", o, err)
		}
	}
}

// Whatever the text, a parser answers or refuses; what it accepts has a target
// inside the container.
func FuzzMounts(f *testing.F) {
	f.Add("/a:/b:ro")
	f.Add("type=bind,src=/a,dst=/b,ro")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range []func() (spec.Mount, error){
			func() (spec.Mount, error) { return Volume(text, "/cwd") },
			func() (spec.Mount, error) { return Mount(text, "/cwd") },
			func() (spec.Mount, error) { return Tmpfs(text) },
		} {
			got, err := m()
			if err == nil && (got.Target == "/" || !strings.HasPrefix(got.Target, "/") || strings.Contains(got.Target, "/../")) {
				t.Errorf("%q: target %q", text, got.Target)
			}
		}
		_, _ = Ulimit(text)
		_, _ = Device(text)
		_, _ = UserNS(text)
		_, _ = Bytes(text)
	})
}
