package mounts

import (
	"strings"
	"testing"
)

// FuzzOptions: what an option list says last counts, whatever stood before.
func FuzzOptions(f *testing.F) {
	f.Add("ro,rbind,rprivate,size=1k")
	f.Add("rro,rnosuid,noatime,relatime,idmap")
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, ",")
		if _, err := Parse(words); err != nil {
			return
		}
		o, err := Parse(append(words, "ro"))
		const readOnly = 1
		if err != nil || o.Flags&readOnly == 0 {
			t.Errorf("%q,ro: %+v, %v", text, o, err)
		}
	})
}
