package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// dir is the directory of a log. Everything in it is opened beneath its
// descriptor: the directory may be renamed while the log is in use, as a
// container's is when it is removed.
type dir struct {
	root *os.Root
	base string
}

func openDir(path string) (dir, error) {
	if !filepath.IsAbs(path) {
		return dir{}, fmt.Errorf("log %q: must be an absolute path", path)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return dir{}, fmt.Errorf("log directory: %w", err)
	}
	return dir{root: root, base: filepath.Base(path)}, nil
}

func (d dir) name(n int) string { return d.base + "." + strconv.Itoa(n) }

// numbers returns the numbers of the rotated generations, oldest first.
func (d dir) numbers() ([]int, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("log directory: %w", err)
	}
	defer f.Close()
	var all []int
	for {
		names, err := f.Readdirnames(256)
		for _, name := range names {
			if digits, ok := strings.CutPrefix(name, d.base+"."); ok {
				// Only what name makes: neither "1.gz" nor "01".
				if n, err := strconv.Atoi(digits); err == nil && n > 0 && strconv.Itoa(n) == digits {
					all = append(all, n)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("log directory: %w", err)
		}
	}
	slices.Sort(all)
	return all, nil
}

// generation is one file of a log, open for reading. The number of the one being
// written is that which it will get.
type generation struct {
	n    int
	file *os.File
}

// rotations bounds how often open starts again because the log was rotated
// meanwhile.
const rotations = 1000

// open opens the generations after a number, oldest first and at most so many
// (the one being written may be one more); more tells that there are others. It
// takes no lock: numbers only grow, so if the directory lists the same numbers
// before and after, the current file is the successor of the newest. A listing
// alone proves nothing: it may lack what is renamed while it is made.
func (d dir) open(after, most int) (gens []generation, more bool, err error) {
	for range rotations {
		all, err := d.numbers()
		if err != nil {
			return nil, false, err
		}
		gens, more, err = d.tryOpen(all, after, most)
		if err != nil {
			return nil, false, err
		}
		now, err := d.numbers()
		if err == nil && slices.Equal(all, now) {
			return gens, more, nil
		}
		closeAll(gens)
		if err != nil {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("log %s: rotated %d times while it was opened", d.base, rotations)
}

func (d dir) tryOpen(all []int, after, most int) (gens []generation, more bool, err error) {
	for _, n := range append(slices.Clip(all), last(all)+1) {
		if n <= after {
			continue
		}
		if n <= last(all) && len(gens) == most {
			return gens, true, nil
		}
		name := d.name(n)
		if n > last(all) {
			name = d.base
		}
		f, err := d.root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, or not made yet
		}
		if err != nil {
			closeAll(gens)
			return nil, false, fmt.Errorf("open log: %w", err)
		}
		gens = append(gens, generation{n, f})
	}
	return gens, false, nil
}

func last(numbers []int) int {
	if len(numbers) == 0 {
		return 0
	}
	return numbers[len(numbers)-1]
}

func closeAll(gens []generation) {
	for _, g := range gens {
		g.file.Close()
	}
}
