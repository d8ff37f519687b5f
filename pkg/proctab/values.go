package proctab

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nook-containers/nook/pkg/oci/caps"
)

// age is how long p lives.
func (v *View) age(p *Process) time.Duration { return max(0, v.Now-p.Start) }

// load is the part of its life that p had a processor, in percent.
func (v *View) load(p *Process) float64 {
	if v.age(p) == 0 {
		return 0
	}
	return 100 * float64(p.CPU) / float64(v.age(p))
}

func (v *View) share(p *Process) float64 {
	if v.Memory == 0 {
		return 0
	}
	return 100 * float64(p.RSS) / float64(v.Memory)
}

// started is the time of day when p began, or the day if that was another one.
func (v *View) started(p *Process) string {
	t := v.Clock.Add(-v.age(p))
	if v.Clock.Sub(t) < 24*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("Jan02")
}

func (v *View) uid(id uint32) string { return v.UIDs.show(id, nil) }
func (v *View) gid(id uint32) string { return v.GIDs.show(id, nil) }

func (v *View) user(id uint32) string  { return v.UIDs.show(id, v.User) }
func (v *View) group(id uint32) string { return v.GIDs.show(id, v.Group) }

// show is an id as it is inside, by name where it has one. An id from elsewhere is
// a question mark.
func (m IDMap) show(outside uint32, name func(uint32) string) string {
	in, ok := m.Inside(outside)
	if !ok {
		return "?"
	}
	return named(in, name)
}

func named(id uint32, name func(uint32) string) string {
	if name != nil {
		if s := name(id); s != "" {
			return clean(s)
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

func joined(ids []uint32, show func(uint32) string) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = show(id)
	}
	return orDash(strings.Join(list, ","))
}

// command is the command line, or in brackets the name of what has none.
func (p *Process) command() string {
	if len(p.Args) == 0 {
		return "[" + clean(p.Comm) + "]"
	}
	return clean(strings.Join(p.Args, " "))
}

// clean keeps what a process calls itself from moving the user's cursor.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func kib(bytes uint64) string { return strconv.FormatUint(bytes>>10, 10) }

func seccompMode(n int) string {
	switch n {
	case 0:
		return "disabled"
	case 1:
		return "strict"
	case 2:
		return "filter"
	}
	return "?"
}

// clock is [days-]hh:mm:ss.
func clock(d time.Duration) string {
	s := int(d / time.Second)
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		text = strconv.Itoa(days) + "-" + text
	}
	return text
}

// terminal names a terminal by its device number (devices.txt of the kernel).
func terminal(dev int) string {
	const firstPTS, lastPTS, minors = 136, 143, 256
	major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	switch {
	case dev == 0:
		return "?"
	case major >= firstPTS && major <= lastPTS:
		return "pts/" + strconv.Itoa((major-firstPTS)*minors+minor)
	case major == 4 && minor < 64:
		return "tty" + strconv.Itoa(minor)
	case major == 5 && minor == 1:
		return "console"
	}
	return strconv.Itoa(major) + ":" + strconv.Itoa(minor)
}

// capNames are those of a set as podman-top(1) shows them: "none", "full", or a list
// without CAP_.
func capNames(set uint64) string {
	all := caps.Names(^uint64(0))
	list := caps.Names(set)
	switch len(list) {
	case 0:
		return "none"
	case len(all):
		return "full"
	}
	return strings.ReplaceAll(strings.Join(list, ","), "CAP_", "")
}
