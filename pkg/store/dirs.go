package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Dirs are the directories of an overlay, as inspect shows them. Each is there;
// empty: there is none.
type Dirs struct {
	Lower  []string // uppermost first
	Upper  string
	Work   string
	Merged string // with all files, where they are a copy; else that is nobody's to see
}

// Map names the directories as containers/storage's and Docker's overlay drivers do;
// nil: there are none.
func (d Dirs) Map() map[string]string {
	var out map[string]string
	for _, e := range [][2]string{
		{"LowerDir", strings.Join(d.Lower, ":")}, {"UpperDir", d.Upper}, {"WorkDir", d.Work}, {"MergedDir", d.Merged},
	} {
		if e[1] == "" {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[e[0]] = e[1]
	}
	return out
}

// ReadDirs finds the directories of the layer whose own directory is layer, without
// the store, and so without its namespace and locks. It knows the overlay driver's
// small files alone, and says nothing of layers where these cannot be read.
func ReadDirs(layer string) Dirs {
	var d Dirs
	diff := existing(layer, "diff")
	if diff == "" {
		return d
	}
	if _, err := os.Lstat(filepath.Join(layer, copiedMark)); err == nil {
		return Dirs{Merged: existing(layer, "merged")}
	}
	d.Upper, d.Work = diff, existing(layer, "work")
	d.Lower = append(moreDiffs(diff), readLower(layer)...)
	return d
}

// ReadOwn finds the directories of a root made by OwnRoot in dir, of an image whose
// top layer has the directory top.
func ReadOwn(dir, top string) Dirs {
	if _, err := os.Lstat(filepath.Join(dir, copiedMark)); err == nil {
		return Dirs{Merged: existing(dir, "merged")}
	}
	d := Dirs{Upper: existing(dir, "upper"), Work: existing(dir, "work")}
	if d.Upper == "" {
		return Dirs{}
	}
	if image := ReadDirs(top); image.Upper != "" {
		d.Lower = append([]string{image.Upper}, image.Lower...)
	}
	return d
}

func existing(dir, name string) string {
	path := filepath.Join(dir, name)
	if fi, err := os.Lstat(path); err != nil || !fi.IsDir() {
		return ""
	}
	return path
}

// readLower reads what the overlay driver notes of the layers below: short names, which
// are links to their directories.
func readLower(layer string) []string {
	text, err := os.ReadFile(filepath.Join(layer, "lower"))
	if err != nil || len(text) == 0 {
		return nil
	}
	home := filepath.Dir(layer)
	var out []string
	for name := range strings.SplitSeq(string(text), ":") {
		to, err := os.Readlink(filepath.Join(home, name))
		if err != nil {
			return nil // of another store: rather nothing than a part
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(home, filepath.Dir(name), to)
		}
		if fi, err := os.Lstat(to); err != nil || !fi.IsDir() {
			return nil
		}
		out = append(out, to)
	}
	return out
}

// layerDir is the directory of a layer, for ReadDirs; empty where the driver has not
// several of them.
func (s *Store) layerDir(id string) string {
	if s.Driver() != "overlay" {
		return ""
	}
	return filepath.Join(s.o.Root, s.Driver(), id)
}

// GraphDriver tells where the image's files are, as inspect shows it.
func (i *Image) GraphDriver() (name string, data map[string]string, err error) {
	driver, err := i.st.GraphDriver()
	if err != nil {
		return "", nil, err
	}
	if i.TopLayer == "" || driver.String() != "overlay" {
		return driver.String(), nil, nil
	}
	data, err = driver.Metadata(i.TopLayer)
	if err != nil {
		return "", nil, fmt.Errorf("image %s: %w: %w", short(i.ID), ErrDamaged, err)
	}
	for name, dirs := range data { // the driver says where they would be
		for dir := range strings.SplitSeq(dirs, ":") {
			if _, err := os.Lstat(dir); err != nil {
				delete(data, name)
			}
		}
	}
	delete(data, "MergedDir") // nothing is mounted there
	return driver.String(), data, nil
}

// LayerDir is where the image's top layer is in the store's own root, for ReadDirs, if
// it is there; empty where it cannot be.
func (i *Image) LayerDir() string {
	if i.TopLayer == "" || i.st.GraphDriverName() != "overlay" {
		return ""
	}
	return filepath.Join(i.st.GraphRoot(), "overlay", i.TopLayer)
}
