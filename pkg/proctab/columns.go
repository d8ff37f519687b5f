package proctab

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// View is what columns need beside the process.
type View struct {
	Now        time.Duration // since boot
	Clock      time.Time     // the same instant
	Memory     uint64        // bytes of the machine
	UIDs, GIDs IDMap         // of the user namespace whose names are shown
	// Names of ids, inside the namespace and outside; "" where an id has none.
	User, Group, HostUser, HostGroup func(id uint32) string
}

// Column is one column of the table.
type Column struct {
	Name, Header string
	value        func(v *View, p *Process) string
}

// Value is what the column shows of p.
func (c Column) Value(v *View, p *Process) string { return c.value(v, p) }

// columns are all there are, under podman's names (podman-top(1)), then those that
// only ps(1) has.
func columns() []Column {
	capability := func(field string) func(*View, *Process) string {
		return func(_ *View, p *Process) string { return capNames(p.Caps[field]) }
	}
	number := func(get func(*Process) int) func(*View, *Process) string {
		return func(_ *View, p *Process) string { return strconv.Itoa(get(p)) }
	}
	return []Column{
		{"args", "COMMAND", func(_ *View, p *Process) string { return p.command() }},
		{"capamb", "AMBIENT CAPS", capability("CapAmb")},
		{"capbnd", "BOUNDING CAPS", capability("CapBnd")},
		{"capeff", "EFFECTIVE CAPS", capability("CapEff")},
		{"capinh", "INHERITED CAPS", capability("CapInh")},
		{"capprm", "PERMITTED CAPS", capability("CapPrm")},
		{"comm", "COMMAND", func(_ *View, p *Process) string { return clean(p.Comm) }},
		{"etime", "ELAPSED", func(v *View, p *Process) string { return v.age(p).Round(time.Second).String() }},
		{"gid", "GID", func(v *View, p *Process) string { return v.gid(p.GID) }},
		{"group", "GROUP", func(v *View, p *Process) string { return v.group(p.GID) }},
		{"groups", "GROUPS", func(v *View, p *Process) string { return joined(p.Groups, v.group) }},
		{"hgroup", "HGROUP", func(v *View, p *Process) string { return named(p.GID, v.HostGroup) }},
		{"hgroups", "HGROUPS", func(v *View, p *Process) string {
			return joined(p.Groups, func(g uint32) string { return named(g, v.HostGroup) })
		}},
		{"hpid", "HPID", number(func(p *Process) int { return p.HostPID })},
		{"huser", "HUSER", func(v *View, p *Process) string { return named(p.UID, v.HostUser) }},
		{"label", "LABEL", func(_ *View, p *Process) string { return orDash(clean(p.Label)) }},
		{"nice", "NI", number(func(p *Process) int { return p.Nice })},
		{"nlwp", "NLWP", number(func(p *Process) int { return p.Threads })},
		{"pcpu", "%CPU", func(v *View, p *Process) string { return fmt.Sprintf("%.3f", v.load(p)) }},
		{"pgid", "PGID", number(func(p *Process) int { return p.PGID })},
		{"pid", "PID", number(func(p *Process) int { return p.PID })},
		{"pmem", "%MEM", func(v *View, p *Process) string { return fmt.Sprintf("%.1f", v.share(p)) }},
		{"ppid", "PPID", number(func(p *Process) int { return p.PPID })},
		{"rgroup", "RGROUP", func(v *View, p *Process) string { return v.group(p.RGID) }},
		{"rss", "RSS", func(_ *View, p *Process) string { return kib(p.RSS) }},
		{"ruser", "RUSER", func(v *View, p *Process) string { return v.user(p.RUID) }},
		{"seccomp", "SECCOMP", func(_ *View, p *Process) string { return seccompMode(p.Seccomp) }},
		{"sid", "SID", number(func(p *Process) int { return p.SID })},
		{"state", "STATE", func(_ *View, p *Process) string { return string(p.State) }},
		{"stime", "STIME", func(v *View, p *Process) string { return v.started(p) }},
		{"time", "TIME", func(_ *View, p *Process) string { return p.CPU.Round(time.Second).String() }},
		{"tty", "TTY", func(_ *View, p *Process) string { return terminal(p.TTY) }},
		{"uid", "UID", func(v *View, p *Process) string { return v.uid(p.UID) }},
		{"user", "USER", func(v *View, p *Process) string { return v.user(p.UID) }},
		{"vsz", "VSZ", func(_ *View, p *Process) string { return kib(p.VSize) }},
		{"c", "C", func(v *View, p *Process) string { return strconv.Itoa(int(v.load(p))) }},
		{"cputime", "TIME", func(_ *View, p *Process) string { return clock(p.CPU) }},
		{"elapsed", "ELAPSED", func(v *View, p *Process) string { return clock(v.age(p)) }},
	}
}

// ErrColumn means that there is no such column, or no such option of ps.
var ErrColumn = errors.New("unknown column")

// podmanDefault and the others are whole tables.
func podmanDefault() []string {
	return []string{"user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args"}
}

// Columns reads what podman and docker take after the container: names of columns,
// separate or with commas between, or options of ps(1): -e -A -a -x -f, u, and -o
// with a list. Nothing is podman's default table.
func Columns(args []string) ([]Column, error) {
	switch {
	case len(args) == 0:
		return pick(podmanDefault(), nil)
	case strings.HasPrefix(args[0], "-") || args[0] == "aux" || args[0] == "auxww" || args[0] == "ax":
		return psColumns(args)
	}
	return pick(strings.FieldsFunc(strings.Join(args, ","), func(r rune) bool { return r == ',' || r == ' ' }), nil)
}

// pick looks names up; alias may be nil.
func pick(names []string, alias func(string) (name, header string)) ([]Column, error) {
	all := columns()
	var out []Column
	for _, n := range names {
		header := ""
		if alias != nil {
			n, header = alias(n)
		}
		i := slices.IndexFunc(all, func(c Column) bool { return c.Name == n })
		if i < 0 {
			return nil, fmt.Errorf("%w %q; there are %s", ErrColumn, n, columnNames(all))
		}
		c := all[i]
		if header != "" {
			c.Header = header
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: none was named", ErrColumn)
	}
	return out, nil
}

func columnNames(all []Column) string {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// psColumns reads options of ps. Those that choose processes choose all here, and
// are taken without a dash as well.
func psColumns(args []string) ([]Column, error) {
	full, user, list := false, false, ""
	for i := 0; i < len(args); i++ {
		opts := strings.TrimPrefix(args[i], "-")
		for j, r := range opts {
			switch r {
			case 'e', 'A', 'a', 'x', 'w':
			case 'f':
				full = true
			case 'u':
				user = true
			case 'o':
				if list = strings.TrimPrefix(opts[j+1:], "="); list == "" && i+1 < len(args) {
					i++
					list = args[i]
				}
				return pick(strings.Split(list, ","), psName)
			default:
				return nil, fmt.Errorf("ps option %q of %q: %w; there are e, A, a, x, w, f, u and -o LIST", string(r), args[i], ErrColumn)
			}
		}
	}
	switch {
	case user:
		return pick([]string{"user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start", "time", "args"}, psName)
	case full:
		return pick([]string{"uid-name", "pid", "ppid", "c", "stime", "tty", "time", "cmd"}, psName)
	}
	return pick([]string{"pid", "tty", "time", "comm-cmd"}, psName)
}

// psName translates a column's name in ps; header is "" where it is ours. A name may
// bring its own header, as NAME=HEADER.
func psName(n string) (name, header string) {
	n, own, _ := strings.Cut(strings.TrimSpace(n), "=")
	name = n
	for _, a := range [...]struct{ ps, name, header string }{
		{"uid-name", "user", "UID"},
		{"comm-cmd", "comm", "CMD"},
		{"cmd", "args", "CMD"},
		{"command", "args", ""},
		{"ucmd", "comm", ""},
		{"ucomm", "comm", ""},
		{"euser", "user", ""},
		{"uname", "user", ""},
		{"euid", "uid", ""},
		{"egid", "gid", ""},
		{"egroup", "group", ""},
		{"%cpu", "pcpu", ""},
		{"%mem", "pmem", ""},
		{"ni", "nice", ""},
		{"stat", "state", "STAT"},
		{"s", "state", "S"},
		{"tt", "tty", ""},
		{"tname", "tty", ""},
		{"start", "stime", "START"},
		{"start_time", "stime", "START"},
		{"vsize", "vsz", ""},
		{"rssize", "rss", ""},
		{"rsz", "rss", ""},
		{"pgrp", "pgid", ""},
		{"sess", "sid", ""},
		{"session", "sid", ""},
		{"time", "cputime", ""},
		{"etime", "elapsed", ""},
	} {
		if a.ps == n {
			name, header = a.name, a.header
			break
		}
	}
	if own != "" {
		header = own
	}
	return name, header
}
