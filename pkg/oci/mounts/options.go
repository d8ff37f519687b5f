// Package mounts reads the mount options of an OCI spec.
//
// Theory of operation: one table says what each option of the runtime spec
// means for a new file system (MS_* flags of mount(2)) and for a bind mount
// (attributes of mount_setattr(2), which can be set and cleared one by one, for
// one mount or with an "r" in front for the whole tree). Everything the table
// lacks is data for the file system.
package mounts

import (
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/nook-containers/nook/pkg/oci/plan"
)

// Attributes of a mount (mount_setattr(2), linux/mount.h).
const (
	attrReadonly    = 0x01
	attrNosuid      = 0x02
	attrNodev       = 0x04
	attrNoexec      = 0x08
	attrAtimeMask   = 0x70
	attrNoatime     = 0x10
	attrStrictatime = 0x20
	attrNodiratime  = 0x80
	attrNosymfollow = 0x200000

	msNosymfollow = 0x100
	msLazytime    = 0x2000000
)

// Options are what a list of options means.
type Options struct {
	Bind, Recursive bool      // "bind", "rbind"
	Flags           uintptr   // MS_* of a new file system
	Attr, RecAttr   plan.Attr // for the mount, and for all below it
	CopyUp          bool      // "tmpcopyup"
	Data            []string
}

// option is one word: flags to set and to clear on a new file system, and the
// same as attributes. Recursive attributes also exist with a leading "r".
type option struct {
	name               string
	set, clear         uintptr
	attrSet, attrClear uint64
	recursive          bool // "r"+name exists
}

//nolint:gochecknoglobals // a table, sorted by name
var table = [...]option{
	{"async", 0, syscall.MS_SYNCHRONOUS, 0, 0, false},
	{"atime", 0, syscall.MS_NOATIME, 0, attrAtimeMask, true},
	{"defaults", 0, 0, 0, 0, false},
	{"dev", 0, syscall.MS_NODEV, 0, attrNodev, true},
	{"diratime", 0, syscall.MS_NODIRATIME, 0, attrNodiratime, true},
	{"dirsync", syscall.MS_DIRSYNC, 0, 0, 0, false},
	{"exec", 0, syscall.MS_NOEXEC, 0, attrNoexec, true},
	{"iversion", syscall.MS_I_VERSION, 0, 0, 0, false},
	{"lazytime", msLazytime, 0, 0, 0, false},
	{"loud", 0, syscall.MS_SILENT, 0, 0, false},
	{"mand", syscall.MS_MANDLOCK, 0, 0, 0, false},
	{"noatime", syscall.MS_NOATIME, 0, attrNoatime, attrAtimeMask, true},
	{"nodev", syscall.MS_NODEV, 0, attrNodev, 0, true},
	{"nodiratime", syscall.MS_NODIRATIME, 0, attrNodiratime, 0, true},
	{"noexec", syscall.MS_NOEXEC, 0, attrNoexec, 0, true},
	{"noiversion", 0, syscall.MS_I_VERSION, 0, 0, false},
	{"nolazytime", 0, msLazytime, 0, 0, false},
	{"nomand", 0, syscall.MS_MANDLOCK, 0, 0, false},
	{"norelatime", 0, syscall.MS_RELATIME, attrStrictatime, attrAtimeMask, true},
	{"nostrictatime", 0, syscall.MS_STRICTATIME, 0, attrAtimeMask, true},
	{"nosuid", syscall.MS_NOSUID, 0, attrNosuid, 0, true},
	{"nosymfollow", msNosymfollow, 0, attrNosymfollow, 0, true},
	{"relatime", syscall.MS_RELATIME, 0, 0, attrAtimeMask, true},
	{"ro", syscall.MS_RDONLY, 0, attrReadonly, 0, true},
	{"rw", 0, syscall.MS_RDONLY, 0, attrReadonly, true},
	{"silent", syscall.MS_SILENT, 0, 0, 0, false},
	{"strictatime", syscall.MS_STRICTATIME, 0, attrStrictatime, attrAtimeMask, true},
	{"suid", 0, syscall.MS_NOSUID, 0, attrNosuid, true},
	{"symfollow", 0, msNosymfollow, 0, attrNosymfollow, true},
	{"sync", syscall.MS_SYNCHRONOUS, 0, 0, 0, false},
}

// Parse reads the options of one mount. Refused is what can't be honoured. Data
// of a bind mount means nothing, as in mount(2): specs carry the options of the
// source's file system along.
func Parse(options []string) (Options, error) {
	var o Options
	for _, word := range options {
		if err := o.add(word); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

func (o *Options) add(word string) error {
	switch word {
	case "bind":
		o.Bind = true
		return nil
	case "rbind":
		o.Bind, o.Recursive = true, true
		return nil
	case "tmpcopyup":
		o.CopyUp = true
		return nil
	case "idmap", "ridmap", "remount":
		return fmt.Errorf("option %q: not supported", word)
	}
	if p, recursive, ok := propagation(word); ok {
		if recursive {
			o.RecAttr.Propagation = p
		} else {
			o.Attr.Propagation = p
		}
		return nil
	}
	if opt, ok := find(word); ok {
		o.Flags = o.Flags&^opt.clear | opt.set
		apply(&o.Attr, opt)
		return nil
	}
	if base, r := strings.CutPrefix(word, "r"); r {
		if opt, ok := find(base); ok && opt.recursive {
			o.Flags = o.Flags&^opt.clear | opt.set
			apply(&o.RecAttr, opt)
			return nil
		}
	}
	o.Data = append(o.Data, word)
	return nil
}

// apply lets the later of two contradicting options win.
func apply(a *plan.Attr, opt option) {
	a.Set = a.Set&^opt.attrClear | opt.attrSet
	a.Clear = a.Clear&^opt.attrSet | opt.attrClear
}

func find(name string) (option, bool) {
	i, ok := slices.BinarySearchFunc(table[:], name, func(o option, n string) int { return strings.Compare(o.name, n) })
	if !ok {
		return option{}, false
	}
	return table[i], true
}

// propagation knows the words of mount_namespaces(7); with "r" they hold for
// the whole tree.
func propagation(word string) (flag uint64, recursive, ok bool) {
	switch word {
	case "shared", "slave", "private", "unbindable":
	case "rshared", "rslave", "rprivate", "runbindable":
		recursive = true
		word = word[1:]
	default:
		return 0, false, false
	}
	switch word {
	case "shared":
		flag = syscall.MS_SHARED
	case "slave":
		flag = syscall.MS_SLAVE
	case "private":
		flag = syscall.MS_PRIVATE
	case "unbindable":
		flag = syscall.MS_UNBINDABLE
	}
	return flag, recursive, true
}

// Propagation reads the spec's linux.rootfsPropagation as flags of mount(2).
// "" gives 0.
func Propagation(word string) (uintptr, error) {
	if word == "" {
		return 0, nil
	}
	flag, recursive, ok := propagation(word)
	if !ok {
		return 0, fmt.Errorf("%q: want shared, slave, private or unbindable, or one with r in front", word)
	}
	if recursive {
		flag |= syscall.MS_REC
	}
	return uintptr(flag), nil
}
