package events

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLog puts any bytes in front of an event: it is read all the same, except where
// they leave its line unfinished.
func FuzzLog(f *testing.F) {
	f.Add([]byte("{\"Name\":\"x\"}\nrubbish\n\n"))
	f.Add([]byte("{\"Time\":\"9999-99-99\"}\nnull\n[]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		l := Log{dir}
		if err := l.Append(Event{Time: time.Unix(1, 0), Name: "first"}); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) == 0 {
			t.Fatal(entries, err)
		}
		path := filepath.Join(dir, entries[len(entries)-1].Name())
		for _, e := range entries {
			if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() && fi.Size() > 0 {
				path = filepath.Join(dir, e.Name())
			}
		}
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(append(data, '\n')); err != nil {
			t.Fatal(err)
		}
		file.Close()
		if err := l.Append(Event{Time: time.Unix(2, 0), Name: "last"}); err != nil {
			t.Fatal(err)
		}
		got := read(t, l, Query{})
		if len(got) < 2 || got[0].Name != "first" || got[len(got)-1].Name != "last" {
			t.Errorf("got %+v", got)
		}
	})
}
