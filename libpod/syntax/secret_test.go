package syntax

import (
	"testing"

	"github.com/nook-containers/nook/libpod/spec"
)

func TestSecret(t *testing.T) {
	for in, want := range map[string]spec.Secret{
		"db":                               {Name: "db", Type: "mount", Target: "/run/secrets/db", Mode: 0o444},
		"source=db,target=pw":              {Name: "db", Type: "mount", Target: "/run/secrets/pw", Mode: 0o444},
		"db,target=/etc/pw,uid=33,gid=34":  {Name: "db", Type: "mount", Target: "/etc/pw", UID: 33, GID: 34, Mode: 0o444},
		"db,mode=0400":                     {Name: "db", Type: "mount", Target: "/run/secrets/db", Mode: 0o400},
		"db,type=env":                      {Name: "db", Type: "env", Target: "db"},
		"db,type=env,target=PGPASSWORD":    {Name: "db", Type: "env", Target: "PGPASSWORD"},
		"db,target=../../etc/x,type=mount": {Name: "db", Type: "mount", Target: "/etc/x", Mode: 0o444},
	} {
		if got, err := Secret(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "type=mount", "db,type=file", "db,mode=999", "db,mode=4755", "db,uid=-1", "db,uid=4294967296", "db,what=1", "db,plain",
		"db,type=env,mode=0400", "db,target=/", "db,target=.", "db,type=env,target=A=B",
	} {
		if got, err := Secret(in); err == nil {
			t.Errorf("%q was read as %+v", in, got)
		}
	}
}
