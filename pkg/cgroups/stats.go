package cgroups

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what the processes of a group use and have used.
type Usage struct {
	CPU time.Duration

	Memory      uint64 // bytes
	MemoryLimit uint64 // bytes, its own or its family's; 0: none
	HasMemory   bool   // else its controller is missing

	PIDs    uint64 // threads
	HasPIDs bool

	Read, Written uint64 // bytes of block devices
	HasIO         bool
}

// ReadUsage reads what the controllers of a group count. fs.ErrNotExist: the group
// is gone.
func ReadUsage(dir string) (Usage, error) {
	var u Usage
	cpu, err := read(dir, "cpu.stat")
	if err != nil {
		return u, err
	}
	u.CPU = time.Duration(flat(cpu)["usage_usec"]) * time.Microsecond //nolint:gosec // a time
	current, ok, err := optional(dir, "memory.current")
	if err != nil {
		return u, err
	}
	if u.HasMemory = ok; ok {
		u.Memory = number(current)
		limit, _, err := optional(dir, "memory.max")
		if err != nil {
			return u, err
		}
		u.MemoryLimit = number(limit)
		if family := filepath.Dir(dir); strings.HasPrefix(filepath.Base(family), Family) {
			limit, _, _ := optional(family, "memory.max") // it goes when the group does
			if n := number(limit); n > 0 && (u.MemoryLimit == 0 || n < u.MemoryLimit) {
				u.MemoryLimit = n
			}
		}
	}
	tasks, ok, err := optional(dir, "pids.current")
	if err != nil {
		return u, err
	}
	u.PIDs, u.HasPIDs = number(tasks), ok
	stat, ok, err := optional(dir, "io.stat")
	u.HasIO = ok
	u.Read, u.Written = ioTotals(stat)
	return u, err
}

// optional reads a file that depends on a controller.
func optional(dir, file string) (s string, ok bool, err error) {
	s, err = read(dir, file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return s, err == nil, err
}

// number reads a value; "max" and what is no number are 0.
func number(s string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSpace(s), 10, 64) // as said
	return n
}

// ioTotals adds up the devices of io.stat (kernel doc, "Nested keyed").
func ioTotals(s string) (read, written uint64) {
	for field := range strings.FieldsSeq(s) {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "rbytes":
			read += number(value)
		case "wbytes":
			written += number(value)
		}
	}
	return read, written
}
