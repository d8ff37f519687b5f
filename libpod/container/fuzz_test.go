package container

import (
	"bytes"
	"testing"

	"github.com/nook-containers/nook/libpod/ocispec"
)

// FuzzAccounts resolves a user by an image's own files. A number is that number,
// whatever they say, and lines added to them are lines.
func FuzzAccounts(f *testing.F) {
	f.Add("web:www", []byte("root:x:0:0::/root:/bin/sh\nweb:x:33:33::/w:/\n"), []byte("www:x:34:web,root\n"))
	f.Add("1000", []byte("1000:x:0:0::/:/\n"), []byte("::\n4294967296:x:-1:1000"))
	f.Fuzz(func(t *testing.T, who string, passwd, group []byte) {
		a := accounts{passwd: passwd, group: group}
		u, err := resolveUser(who, []string{"1"}, a)
		if err != nil {
			return
		}
		if who == "1000" && u.UID != 1000 {
			t.Errorf("user 1000 is %d by %q", u.UID, passwd)
		}
		if len(u.Groups) == 0 || u.Groups[0] != u.GID {
			t.Errorf("groups %v of gid %d", u.Groups, u.GID)
		}
		more, _ := addAccounts(ocispec.Input{User: u}, a)
		if more != nil && !bytes.HasSuffix(more, []byte("\n")) {
			t.Errorf("passwd becomes %q", more)
		}
	})
}
