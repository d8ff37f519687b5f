package attach

import (
	"bytes"
	"testing"
)

// FuzzKeys: a filter holds back no more than the sequence, in one piece or byte by
// byte, and finds it in both or in neither.
func FuzzKeys(f *testing.F) {
	f.Add("ctrl-p,ctrl-q", []byte("ls\n\x10\x11rest"))
	f.Add("a,a,b", []byte("aaab"))
	f.Fuzz(func(t *testing.T, keys string, typed []byte) {
		seq, err := ParseKeys(keys)
		if err != nil {
			return
		}
		whole, found := NewKeyFilter(seq).Filter(nil, typed)
		k := NewKeyFilter(seq)
		var out []byte
		detached := false
		for _, b := range typed {
			if out, detached = k.Filter(out, []byte{b}); detached {
				break
			}
		}
		if !bytes.Equal(out, whole) || detached != found {
			t.Errorf("%q on %q: %q, %v at once; %q, %v byte by byte", keys, typed, whole, found, out, detached)
		}
		if found != (len(seq) > 0 && bytes.Contains(typed, seq)) {
			t.Errorf("%q on %q: found %v", keys, typed, found)
		}
		if n := len(typed) - len(whole); !found && (n < 0 || n > len(seq)) {
			t.Errorf("%q on %q: %d bytes held back", keys, typed, n)
		}
	})
}
