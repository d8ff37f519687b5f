package syntax

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

// show prints a value so that a table can hold it. A mount shows only what it has.
func show(v any, err error) string {
	if err != nil {
		if !errors.Is(err, ErrSyntax) {
			return "not an ErrSyntax: " + err.Error()
		}
		_, cause, _ := strings.Cut(err.Error(), ErrSyntax.Error()+": ")
		return "error: " + cause
	}
	if m, ok := v.(spec.Mount); ok {
		text, _ := json.Marshal(m)
		return strings.NewReplacer("type:", "", ",target:", " ", ",options:", " ").Replace(strings.ReplaceAll(string(text), `"`, ""))
	}
	return fmt.Sprintf("%+v", v)
}

func TestVolume(t *testing.T) {
	for in, want := range map[string]string{
		"/a:/b":               "{bind,source:/a /b}",
		"./a:/b/../c:ro":      "{bind,source:/cwd/a /c,readOnly:true}",
		"..:/b:noexec,rslave": "{bind,source:/ /b [noexec,rslave]}",
		"/a:/b:rw,":           "{bind,source:/a /b}",
		"/a:/b:cached,ro":     "{bind,source:/a /b,readOnly:true}",
		"/a":                  "{volume /a}",
		"data:/b":             "{volume /b,volume:data}",
		"data:/b:ro,nocopy":   "{volume /b,readOnly:true,volume:data,noCopy:true}",
		"data:/b:U,z":         "{volume /b [z],volume:data,chown:true}",
		"data:/b:nocreate,O":  "{volume /b,volume:data,noCreate:true,overlay:true}",
		"/a:/b:U":             "{bind,source:/a /b,chown:true}",
		"/a:/b:O":             "{bind,source:/a /b,overlay:true}",
		"a":                   "error: the path in the container must be absolute",
		"/a:b":                "error: the path in the container must be absolute",
		"/a:/":                "error: cannot mount over the container's root",
		"/a:/b/..":            "error: cannot mount over the container's root",
		":/b":                 "error: the source is empty",
		"a b:/b":              "error: a volume's name has letters, digits, '_', '.' and '-'; a host path begins with / or ./",
		"a/b:/b":              "error: a volume's name has letters, digits, '_', '.' and '-'; a host path begins with / or ./",
		"~/a:/b":              "error: the shell did not expand ~; write the path in full",
		"/a:/b:ro:x":          "error: want [SOURCE:]CONTAINER-DIR[:OPTIONS]",
		"/a:/b:shared,slave":  "error: options shared and slave exclude each other",
		"/a:/b:O,U":           "error: options O and U exclude each other: U would change the files that O protects",
		"/a:/b:O,ro":          "error: options O and ro exclude each other",
		"/a:/b:nocopy":        "error: option nocopy is for volumes: what is on the host is never filled",
		"/a:/b:nocreate":      "error: option nocreate is for volumes: a host directory is never created",
		"/a:/b:sparkling":     `error: unknown option "sparkling"`,
		"/a:/b:O,upperdir=/u": "error: option upperdir is not there; with O the changes are kept in the container until it is removed",
		"/a:/b:idmap=uids=0-1-2": "error: option idmap: the kernel lets only real root map the owners of a mount; " +
			"U gives the files to the container's user, and --userns keep-id needs no change of owners",
	} {
		if got := show(Volume(in, "/cwd")); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestMountFlag(t *testing.T) {
	for in, want := range map[string]string{
		"type=bind,src=/a,dst=/b,ro":                       "{bind,source:/a /b,readOnly:true}",
		"type=bind,source=x,target=/b,readonly=false":      "{bind,source:/cwd/x /b}",
		"type=bind,src=/a,dst=/b,rw=false":                 "{bind,source:/a /b,readOnly:true}",
		"type=bind,src=/a,dst=/b,bind-propagation=rshared": "{bind,source:/a /b [rshared]}",
		"type=bind,src=/a,dst=/b,bind-nonrecursive":        "{bind,source:/a /b [bind]}",
		"type=bind,src=/a,dst=/b,bind-recursive=enabled":   "{bind,source:/a /b}",
		"type=bind,src=/a,dst=/b,consistency=cached":       "{bind,source:/a /b}",
		"type=bind,src=/a,dst=/b,consistency=eventual":     "error: consistency \"eventual\": want cached or consistent or default or delegated",
		"type=bind,src=/a,dst=/b,relabel=private":          "{bind,source:/a /b [Z]}",
		"type=bind,src=/a,dst=/b,U=true":                   "{bind,source:/a /b,chown:true}",
		"dst=/t,type=tmpfs,tmpfs-size=1m,tmpfs-mode=700":   "{tmpfs /t [size=1m,mode=700,tmpcopyup]}",
		"type=tmpfs,dst=/t,notmpcopyup":                    "{tmpfs /t [mode=1777]}",
		"type=tmpfs,dst=/t,U,huge=never,mode=0755":         "{tmpfs /t [huge=never,mode=0755,tmpcopyup],chown:true}",
		"type=volume,src=a,dst=/b":                         "{volume /b,volume:a}",
		"source=a,destination=/b,volume-nocopy,ro":         "{volume /b,readOnly:true,volume:a,noCopy:true}",
		"dst=/b":                                          "{volume /b}",
		"src=a,dst=/b,volume-subpath=c/d,nosuid":          "{volume /b [nosuid],volume:a,subpath:c/d}",
		"type=image,src=busybox,dst=/b":                   "{image,source:busybox /b,readOnly:true}",
		"type=image,src=busybox,dst=/b,rw,subpath=bin":    "{image,source:busybox /b,subpath:bin}",
		"type=tmpfs,src=/a,dst=/t":                        "error: a tmpfs has no source",
		"type=tmpfs,dst=/t,huge=elephant":                 "error: huge: want never, always, within_size or advise",
		"type=bind,src=/a":                                "error: target is missing",
		"type=bind,dst=/a":                                "error: source is missing",
		"type=image,dst=/a":                               "error: source is missing",
		"type=bind,src=,dst=/a":                           "error: source is empty",
		"src=/a,dst=/b":                                   `error: source "/a" is a path, not the name of a volume; add type=bind`,
		"src=a,dst=/b,volume-subpath=../c":                `error: subpath "../c": must be relative, and below the source`,
		"src=a,dst=/b,volume-subpath=c/../../d":           `error: subpath "c/../../d": must be relative, and below the source`,
		"src=a,dst=/b,volume-driver=nfs":                  `error: volume driver "nfs": there is only local`,
		"src=a,dst=/b,volume-opt=o=ro":                    "error: volume-opt: make the volume first, with nook volume create",
		"dst=/b,nocreate":                                 "error: option nocreate needs the name of a volume",
		"type=image,src=a,dst=/b,U":                       `error: unknown key "U" for type image`,
		"type=moon,dst=/b":                                `error: unknown type "moon"; want bind, volume, tmpfs or image`,
		"type=glob,src=/a*,dst=/b":                        "error: type glob is not supported; want bind, volume, tmpfs or image",
		"type=bind,src=/a,dst=/b,bind-propagation=noexec": `error: bind-propagation "noexec": want [r]private, [r]shared, [r]slave or [r]unbindable`,
		"type=bind,src=/a,dst=/b,bind-recursive=half":     `error: bind-recursive "half": want disabled or enabled`,
		"type=bind,src=/a,dst=/b,shine":                   `error: unknown key "shine" for type bind`,
		"type=bind,src=/a,dst=/b,volume-subpath=c":        `error: unknown key "volume-subpath" for type bind`,
		"type=tmpfs,dst=/t,tmpfs-mode=9":                  "error: mode must be octal, as 1777",
		"type=bind,src=/a,dst=/b,ro=perhaps":              "error: ro must be true or false",
	} {
		if got := show(Mount(in, "/cwd")); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestVolumesFrom(t *testing.T) {
	for in, want := range map[string]string{
		"web":      "{Container:web ReadOnly:false Options:[]}",
		"web:ro,z": "{Container:web ReadOnly:true Options:[z]}",
		"web:rw":   "{Container:web ReadOnly:false Options:[]}",
		":ro":      "error: want CONTAINER[:OPTIONS]",
		"web:z,Z":  "error: options z and Z exclude each other",
		"web:U":    `error: unknown option "U"; want ro, rw, z or Z`,
	} {
		if got := show(VolumesFrom(in)); got != want {
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
		"device, CDI":        {show(Device("nvidia.com/gpu=a:b")), "{Source:nvidia.com/gpu=a:b Target: Permissions:}"},
		"device, relative":   {show(Device("dev/a")), "error: want an absolute path of the host, or VENDOR/CLASS=NAME"},
		"gpus":               {show(GPUs("all")), "[{Source:gpu=all Target: Permissions:}]"},
		"gpus, number":       {show(GPUs("2")), "[{Source:gpu=0 Target: Permissions:} {Source:gpu=1 Target: Permissions:}]"},
		"gpus, names":        {show(GPUs("\"device=a,b\"")), "[{Source:gpu=a Target: Permissions:} {Source:gpu=b Target: Permissions:}]"},
		"gpus, none":         {show(GPUs("0")), "error: want all, a number or device=NAME[,NAME...]"},
		"device, bad":        {show(Device("/dev/a:/b:q")), "error: permissions are some of r, w and m"},
		"userns, path":       {show(UserNS("ns:user")), "error: want ns: and the absolute path of a user namespace"},
		"userns, options":    {show(UserNS("nomap:uid=1")), "error: only keep-id and auto take options"},
		"userns, auto uid":   {show(UserNS("auto:uid=1")), "error: unknown option \"uid\""},
		"userns, auto map":   {show(UserNS("auto:uidmapping=+0:1:1")), "error: uidmapping: want CONTAINER:[@]HOST:SIZE"},
		"idmap, words":       {show(IDMap("0")), "error: want [+][u|g]CONTAINER:[@]HOST[:SIZE]"},
		"idmap, none":        {show(IDMap("0:1:0")), "error: the size is 0"},
		"idmap, last id":     {show(IDMap("4294967295:1:1")), "error: \"4294967295\" is not an id"},
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
	if got := fmt.Sprintf("%+v", s); got != "{NoNewPrivileges:true Seccomp:{} Mask:[/a /c] Unmask:[ALL /proc/*] ProcOptions:[] AppArmor: WritableCgroups:false NoHostDevices:false}" {
		t.Errorf("got %s", got)
	}
	for _, o := range []string{"seccomp=gone.json", "seccomp=", "mask=a", "unmask=/[", "label=type:a", "shields=up", "no-new-privileges=maybe"} {
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
