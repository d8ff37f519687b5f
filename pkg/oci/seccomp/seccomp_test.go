package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

// call is struct seccomp_data.
type call struct {
	nr, arch uint32
	args     [6]uint64
}

// bytes lays c out for bpf.VM, which reads words in network byte order.
func (c call) bytes() []byte {
	d := make([]byte, 64)
	binary.BigEndian.PutUint32(d[offNr:], c.nr)
	binary.BigEndian.PutUint32(d[offArch:], c.arch)
	for i, a := range c.args {
		binary.BigEndian.PutUint32(d[offArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(d[offArgs+8*i+4:], uint32(a>>32))
	}
	return d
}

type machine struct {
	t  testing.TB
	vm *bpf.VM
}

func newMachine(t testing.TB, prog []inst) machine {
	t.Helper()
	raw := make([]bpf.RawInstruction, len(prog))
	for i, in := range prog {
		raw[i] = bpf.RawInstruction{Op: in.op, Jt: in.jt, Jf: in.jf, K: in.k}
	}
	code, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the program has instructions that are none")
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	return machine{t, vm}
}

func (m machine) run(c call) uint32 {
	m.t.Helper()
	got, err := m.vm.Run(c.bytes())
	if err != nil {
		m.t.Fatal(err)
	}
	return uint32(got)
}

func decode(t testing.TB, data []byte) []inst {
	t.Helper()
	if len(data)%8 != 0 {
		t.Fatalf("%d bytes of program", len(data))
	}
	var prog []inst
	for b := range slices.Chunk(data, 8) {
		prog = append(prog, inst{binary.LittleEndian.Uint16(b), b[2], b[3], binary.LittleEndian.Uint32(b[4:])})
	}
	return prog
}

func readProfile(t testing.TB, path string) *specs.LinuxSeccomp {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s specs.LinuxSeccomp
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// calls yields calls that are likely to tell two filters apart.
func calls(s *specs.LinuxSeccomp, archs []arch, n int, x32Narrow bool) []call { //nolint:revive // a property of the filters
	values := []uint64{0, 1, 2, 0xffffffff, 1 << 32, 1<<32 | 1, ^uint64(0), 0x5412, 0x541c}
	for _, sc := range s.Syscalls {
		for _, a := range sc.Args {
			for _, v := range []uint64{a.Value, a.ValueTwo} {
				values = append(values, v, v-1, v+1, v|1<<32, v|1<<63)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	var list []call
	for range n {
		a := archs[r.IntN(len(archs))]
		c := call{nr: a.first + r.Uint32N(600), arch: a.audit}
		switch r.IntN(100) {
		case 0:
			c.nr = noNumber
		case 1:
			c.arch = 0xc0000016 // s390x
		case 2:
			c.nr = r.Uint32()
		case 3:
			c.nr = armPrivate + r.Uint32N(8)
		}
		for i := range c.args {
			c.args[i] = values[r.IntN(len(values))]
			if r.IntN(8) == 0 {
				c.args[i] = r.Uint64() >> r.IntN(64)
			}
			if a.audit == auditI386 || a.audit == auditArm {
				c.args[i] &= 0xffffffff // all that a 32-bit register holds
			}
			if a.name == specs.ArchX32 && x32Narrow {
				c.args[i] &= 0xffffffff
			}
		}
		list = append(list, c)
	}
	return list
}

// newerThanReference tells calls that libseccomp 2.5.4, which made the reference
// programs, does not know.
func newerThanReference(nr uint32) bool {
	const setMempolicyHomeNode, uretprobe = 450, 335
	nr &^= x32Bit
	return nr > setMempolicyHomeNode && nr < 512 || nr == uretprobe
}

// TestAgainstLibseccomp compares with what libseccomp made of the same profiles
// (testdata/NAME.GOARCH.bpf; go generate makes them anew). In one thing it reads
// an x32 call differently: it ignores the upper half of its arguments, which are
// 64 bits wide, so the comparison leaves those empty.
func TestAgainstLibseccomp(t *testing.T) {
	refs, err := filepath.Glob("testdata/*.bpf")
	if err != nil || len(refs) < 4 {
		t.Fatalf("reference programs: %v, %v", refs, err)
	}
	for _, ref := range refs {
		name, goarch, _ := strings.Cut(strings.TrimSuffix(filepath.Base(ref), ".bpf"), ".")
		t.Run(name+"/"+goarch, func(t *testing.T) {
			s := readProfile(t, "testdata/"+name+".json")
			data, err := os.ReadFile(ref)
			if err != nil {
				t.Fatal(err)
			}
			prog, err := compile(s, goarch, false)
			if err != nil {
				t.Fatal(err)
			}
			ours, theirs := newMachine(t, prog), newMachine(t, decode(t, data))
			archs, err := selectArchs(s, goarch)
			if err != nil {
				t.Fatal(err)
			}
			bad := 0
			for _, c := range calls(s, archs, 30_000, true) {
				if newerThanReference(c.nr) {
					continue
				}
				if got, want := ours.run(c), theirs.run(c); got != want {
					t.Errorf("%#x: %#x, libseccomp %#x", c, got, want)
					if bad++; bad > 10 {
						t.FailNow()
					}
				}
			}
			t.Logf("%d instructions, libseccomp %d", len(prog), len(data)/8)
		})
	}
}

// oracle reads the rules as the package comment states them.
func oracle(s *specs.LinuxSeccomp, archs []arch, c call) uint32 {
	def, _ := action(s.DefaultAction, s.DefaultErrnoRet)
	var a *arch
	for i := range archs {
		x32 := c.nr >= x32Bit && archs[i].audit == auditX86_64
		if archs[i].audit == c.arch && (archs[i].name == specs.ArchX32) == x32 {
			a = &archs[i]
		}
	}
	switch {
	case c.nr == noNumber && slices.ContainsFunc(archs, func(a arch) bool { return a.audit == c.arch }):
		return def
	case a == nil:
		return retKillThread
	}
	var conditional, unconditional []uint32
	newest := a.first
	for _, sc := range s.Syscalls {
		ret, _ := action(sc.Action, sc.ErrnoRet)
		for _, name := range sc.Names {
			nr, ok := a.number(findCall(name))
			if !ok {
				continue
			}
			if nr < a.limit {
				newest = max(newest, nr)
			}
			switch {
			case nr != c.nr || ret == def:
			case len(sc.Args) == 0:
				unconditional = append(unconditional, ret)
			case holds(sc.Args, c):
				conditional = append(conditional, ret)
			}
		}
	}
	switch {
	case len(unconditional) > 0:
		return unconditional[0]
	case len(conditional) > 0:
		return conditional[0]
	case denies(def) && c.nr > newest && c.nr < a.limit:
		return retErrno | errnoNoSys
	}
	return def
}

func holds(args []specs.LinuxSeccompArg, c call) bool {
	used := map[uint]int{}
	for _, a := range args {
		used[a.Index]++
	}
	alternatives := false
	for _, n := range used {
		alternatives = alternatives || n > 1
	}
	for _, a := range args {
		v, ok := c.args[a.Index], false
		switch a.Op {
		case specs.OpEqualTo:
			ok = v == a.Value
		case specs.OpNotEqual:
			ok = v != a.Value
		case specs.OpGreaterThan:
			ok = v > a.Value
		case specs.OpGreaterEqual:
			ok = v >= a.Value
		case specs.OpLessThan:
			ok = v < a.Value
		case specs.OpLessEqual:
			ok = v <= a.Value
		case specs.OpMaskedEqual:
			ok = v&a.Value == a.ValueTwo
		}
		if ok == alternatives {
			return ok
		}
	}
	return !alternatives
}

func TestAgainstOracle(t *testing.T) {
	profiles := map[string]*specs.LinuxSeccomp{
		"operators": readProfile(t, "testdata/operators.json"),
		"docker":    readProfile(t, "testdata/docker.json"),
	}
	for name, caps := range map[string][]string{"default": nil, "admin": {"CAP_SYS_ADMIN", "CAP_SYS_TTY_CONFIG"}} {
		s, err := Default(caps)
		if err != nil {
			t.Fatal(err)
		}
		profiles[name] = s
	}
	for name, s := range profiles {
		for _, goarch := range []string{"amd64", "arm64"} {
			t.Run(name+"/"+goarch, func(t *testing.T) { compareWithOracle(t, s, goarch, 6_000) })
		}
	}
}

func compareWithOracle(t *testing.T, s *specs.LinuxSeccomp, goarch string, n int) {
	t.Helper()
	prog, err := compile(s, goarch, true)
	if err != nil {
		t.Fatal(err)
	}
	archs, err := selectArchs(s, goarch)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, prog)
	for _, c := range calls(s, archs, n, false) {
		if got, want := m.run(c), oracle(s, archs, c); got != want {
			t.Fatalf("%#x: %#x, want %#x", c, got, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, name := range []string{"operators", "docker"} {
		data, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_KILL","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":5,"value":1,"op":"SCMP_CMP_NE"},{"index":5,"value":2,"op":"SCMP_CMP_NE"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s specs.LinuxSeccomp
		if json.Unmarshal(data, &s) != nil {
			return
		}
		if _, err := Compile(&s); err != nil {
			return
		}
		compareWithOracle(t, &s, "amd64", 200)
	})
}

func TestDefaultProfile(t *testing.T) {
	number := func(name string) uint32 {
		nr, ok := arch{column: 0}.number(findCall(name))
		if !ok {
			t.Fatalf("no number for %s", name)
		}
		return nr
	}
	denied, missing := uint32(retErrno|errnoPerm), uint32(retErrno|errnoNoSys)
	for name, tc := range map[string]struct {
		call string
		args [6]uint64
		caps []string
		want uint32
	}{
		"read":                     {call: "read", want: retAllow},
		"mount":                    {call: "mount", want: denied},
		"mount with CAP_SYS_ADMIN": {call: "mount", caps: []string{"CAP_SYS_ADMIN"}, want: retAllow},
		"AF_UNIX":                  {call: "socket", args: [6]uint64{1}, want: retAllow},
		"AF_INET6":                 {call: "socket", args: [6]uint64{10}, want: retAllow},
		"AF_CAIF, below AF_ALG":    {call: "socket", args: [6]uint64{37}, want: retAllow},
		"AF_ALG":                   {call: "socket", args: [6]uint64{38}, want: denied},
		"AF_NFC, between the two":  {call: "socket", args: [6]uint64{39}, want: retAllow},
		"AF_VSOCK":                 {call: "socket", args: [6]uint64{40}, want: denied},
		"AF_VSOCK with upper half": {call: "socket", args: [6]uint64{1<<32 | 40}, want: denied},
		"AF_KCM, above both":       {call: "socket", args: [6]uint64{41}, want: retAllow},
		"TCGETS":                   {call: "ioctl", args: [6]uint64{0, 0x5401}, want: retAllow},
		"TIOCSTI":                  {call: "ioctl", args: [6]uint64{0, 0x5412}, want: denied},
		"TIOCSTI with upper half":  {call: "ioctl", args: [6]uint64{0, 1<<40 | 0x5412}, want: denied},
		"TIOCGWINSZ":               {call: "ioctl", args: [6]uint64{0, 0x5413}, want: retAllow},
		"TIOCLINUX":                {call: "ioctl", args: [6]uint64{0, 0x541c}, want: denied},
		"an ioctl with high bits":  {call: "ioctl", args: [6]uint64{0, 0x80045430}, want: retAllow},
		"vmsplice":                 {call: "vmsplice", want: denied},
		"clone3":                   {call: "clone3", want: missing},
		"clone of a process":       {call: "clone", args: [6]uint64{17}, want: retAllow},
		"clone with CLONE_NEWUSER": {call: "clone", args: [6]uint64{0x10000000}, want: denied},
		"unshare":                  {call: "unshare", want: denied},
		"keyctl":                   {call: "keyctl", want: denied},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Default(tc.caps)
			if err != nil {
				t.Fatal(err)
			}
			prog, err := compile(s, "amd64", true)
			if err != nil {
				t.Fatal(err)
			}
			c := call{nr: number(tc.call), arch: auditX86_64, args: tc.args}
			if got := newMachine(t, prog).run(c); got != tc.want {
				t.Errorf("got %#x, want %#x", got, tc.want)
			}
			if c.nr = 4000; newMachine(t, prog).run(c) != missing {
				t.Error("a call of the future does not give ENOSYS")
			}
		})
	}
}

func TestRefusedProfiles(t *testing.T) {
	errno := uint(70000)
	for name, tc := range map[string]struct {
		s    specs.LinuxSeccomp
		want string
	}{
		"no action":        {specs.LinuxSeccomp{}, `defaultAction: action "": unknown`},
		"notify":           {specs.LinuxSeccomp{DefaultAction: specs.ActNotify}, "without a listener"},
		"listener":         {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/x"}, "listenerPath: not supported"},
		"errno too large":  {specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &errno}, "want 0 to 65535"},
		"unknown flag":     {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}}, `flag "X": not supported`},
		"unknown arch":     {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"amd64"}}, `architectures: "amd64": unknown`},
		"unknown operator": {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "=="}}}}}, `syscalls: read: argument operator "==": unknown`},
		"seventh argument": {specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}}}}}, "argument index 6: want 0 to 5"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(&tc.s)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// A machine-wide table that is out of order would lose calls without a word.
// Nested opens what makes namespaces, and nothing else.
func TestNested(t *testing.T) {
	s, err := Nested(nil)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := compile(s, "amd64", true)
	if err != nil {
		t.Fatal(err)
	}
	def, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := compile(def, "amd64", true)
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string]bool{}
	for _, row := range syscalls[:] {
		nr, ok := arch{column: 0}.number(&row)
		if !ok {
			continue
		}
		c := call{nr: nr, arch: auditX86_64, args: [6]uint64{0x10000000}} // CLONE_NEWUSER
		was, is := newMachine(t, before).run(c), newMachine(t, prog).run(c)
		if was == retAllow && is != retAllow {
			t.Errorf("%s is denied", row.name)
		}
		opened[row.name] = was != retAllow && is == retAllow
	}
	for _, name := range []string{"clone", "clone3", "unshare", "setns", "mount", "pivot_root", "keyctl"} {
		if !opened[name] {
			t.Errorf("%s is not opened", name)
		}
		delete(opened, name)
	}
	for _, name := range []string{"bpf", "kexec_load", "init_module", "perf_event_open", "reboot", "userfaultfd", "socket"} {
		if opened[name] {
			t.Errorf("%s is opened", name)
		}
	}
}

func TestTableIsSorted(t *testing.T) {
	if !slices.IsSortedFunc(syscalls[:], func(a, b syscallRow) int { return strings.Compare(a.name, b.name) }) {
		t.Error("syscalls is not sorted by name")
	}
}

func BenchmarkDefault(b *testing.B) {
	for b.Loop() {
		s, err := Default([]string{"CAP_CHOWN"})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Compile(s); err != nil {
			b.Fatal(err)
		}
	}
}
