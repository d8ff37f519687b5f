package proctab

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const stat = "1234 (a) b) (c) R 1 1234 1233 34816 1234 4194304 100 0 0 0 250 50 0 0 20 5 3 0 1000 4096 2 18446744073709551615 1 1 0"

const status = `Name:	x
NSpid:	1234	7	1
Uid:	1000	100999	1000	1000
Gid:	1000	100998	1000	1000
Groups:	1000 5
CapEff:	00000000800405fb
CapAmb:	0000000000000000
CapBnd:	000001ffffffffff
Seccomp:	2
`

func sample(t *testing.T) *Process {
	t.Helper()
	p := &Process{HostPID: 1234}
	if err := errors.Join(p.parseStat(stat), p.parseStatus(status)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParse(t *testing.T) {
	p := sample(t)
	if p.Comm != "a) b) (c" || p.State != 'R' || p.hostPPID != 1 || p.hostSession != 1233 || p.Nice != 5 || p.Threads != 3 ||
		p.CPU != 3*time.Second || p.Start != 10*time.Second || p.VSize != 4096 || p.RSS != uint64(2*os.Getpagesize()) {
		t.Errorf("stat: %+v", p)
	}
	if !slices.Equal(p.nsPIDs, []int{1234, 7, 1}) || p.UID != 100999 || p.RUID != 1000 || p.GID != 100998 || !slices.Equal(p.Groups, []uint32{1000, 5}) || p.Seccomp != 2 {
		t.Errorf("status: %+v", p)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) R 1 2", ") ("} {
		if err := (&Process{}).parseStat(bad); err == nil {
			t.Errorf("stat %q: no error", bad)
		}
	}
	if err := (&Process{}).parseStatus("Name:	x\n"); err == nil {
		t.Error("status without pids: no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(stat, status)
	f.Fuzz(func(_ *testing.T, a, b string) {
		p := &Process{}
		_ = p.parseStat(a)
		_ = p.parseStatus(b)
	})
}

func TestColumns(t *testing.T) {
	p := sample(t)
	p.PID, p.PPID, p.Args = 7, 1, []string{"sh", "-c", "a\x1b[2J\n\xff"}
	v := &View{
		Now: 70 * time.Second, Clock: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Memory: 1 << 20,
		UIDs: IDMap{{0, 1000, 1}, {1, 100000, 65536}}, GIDs: IDMap{{0, 1000, 1}},
		User:     func(id uint32) string { return map[uint32]string{1000: "app"}[id] },
		HostUser: func(uint32) string { return "" },
	}
	for name, want := range map[string]string{
		"pid": "7", "ppid": "1", "hpid": "1234", "user": "app", "uid": "1000", "ruser": "0", "huser": "100999", "group": "?", "groups": "0,?",
		"args": "sh -c a?[2J??", "comm": "a) b) (c", "etime": "1m0s", "elapsed": "00:01:00", "time": "3s", "cputime": "00:00:03",
		"pcpu": "5.000", "c": "5", "stime": "03:03", "tty": "pts/0", "seccomp": "filter", "capamb": "none", "capbnd": "full",
		"capeff": "CHOWN,DAC_OVERRIDE,FOWNER,FSETID,KILL,SETGID,SETUID,SETPCAP,NET_BIND_SERVICE,SYS_CHROOT,SETFCAP",
		"state":  "R", "nice": "5", "nlwp": "3", "vsz": "4", "rss": kib(uint64(2 * os.Getpagesize())), "label": "-",
	} {
		cols, err := Columns([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		if got := cols[0].Value(v, p); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, c := range columns() { // a process of which nothing is known
		_ = c.Value(&View{}, &Process{})
	}
}

func TestTables(t *testing.T) {
	for args, want := range map[string]string{
		"":                      "USER PID PPID %CPU ELAPSED TTY TIME COMMAND",
		"pid,user":              "PID USER",
		"pid user,args":         "PID USER COMMAND",
		"-ef":                   "UID PID PPID C STIME TTY TIME CMD",
		"-e -f":                 "UID PID PPID C STIME TTY TIME CMD",
		"aux":                   "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
		"-aux":                  "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
		"-e":                    "PID TTY TIME CMD",
		"-eo pid,comm=NAME,cmd": "PID NAME CMD",
		"-opid":                 "PID",
	} {
		cols, err := Columns(strings.Fields(args))
		if err != nil {
			t.Errorf("%q: %v", args, err)
			continue
		}
		var got []string
		for _, c := range cols {
			got = append(got, c.Header)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q gives %q, want %q", args, got, want)
		}
	}
	for _, args := range []string{"colour", "pid,colour", ",", "-q", "-o", "-o colour"} {
		if _, err := Columns(strings.Fields(args)); !errors.Is(err, ErrColumn) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestList(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	all, err := List(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(p Process) bool { return p.HostPID == cmd.Process.Pid })
	if i < 0 {
		t.Fatal("our child is not listed")
	}
	if p := all[i]; p.PID != p.HostPID || p.PPID != os.Getpid() || p.UID != uint32(os.Geteuid()) {
		t.Errorf("our child: %+v", p)
	}
	if _, err := List(1 << 30); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no process: %v", err)
	}
}
