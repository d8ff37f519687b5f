package container

import (
	"errors"
	"testing"
)

func TestReadName(t *testing.T) {
	for in, want := range map[string]copyName{
		"a":      {path: "/w/a"},
		"a/":     {path: "/w/a", slash: true},
		"a/.":    {path: "/w/a", slash: true, contents: true},
		".":      {path: "/w", slash: true, contents: true},
		"..":     {path: "/", slash: true},
		"/":      {path: "/", slash: true},
		"/x//y":  {path: "/x/y"},
		"/x/..a": {path: "/x/..a"},
	} {
		if got := readName(in, "/w"); got != want {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
}

// The table of docker-cp(1), "DESCRIPTION".
func TestPlanCopy(t *testing.T) {
	none, file, dir := found{}, found{exists: true}, found{true, true}
	for _, tc := range []struct {
		src   string
		isDir bool
		dst   string
		at    found
		want  copyPlan
		err   error
	}{
		{"/f", false, "/x", none, copyPlan{}, nil},
		{"/f", false, "/x/", none, copyPlan{}, ErrNoSuchDir},
		{"/f", false, "/x", file, copyPlan{}, nil},
		{"/f", false, "/x/", file, copyPlan{}, ErrNotDir},
		{"/f", false, "/x", dir, copyPlan{true, "f"}, nil},
		{"/f/", false, "/x", dir, copyPlan{}, ErrNotDir},
		{"/f/.", false, "/x", none, copyPlan{}, ErrNotDir},
		{"/f", true, "/x", none, copyPlan{}, nil},
		{"/f/.", true, "/x", none, copyPlan{}, nil},
		{"/f", true, "/x/", none, copyPlan{}, nil},
		{"/f", true, "/x", file, copyPlan{}, ErrDirToFile},
		{"/f", true, "/x", dir, copyPlan{true, "f"}, nil},
		{"/f/", true, "/x", dir, copyPlan{true, "f"}, nil},
		{"/f/.", true, "/x", dir, copyPlan{true, ""}, nil},
		{"/", true, "/x", dir, copyPlan{true, ""}, nil},
	} {
		got, err := planCopy(readName(tc.src, "/"), tc.isDir, "f", readName(tc.dst, "/"), tc.at)
		if got != tc.want || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
			t.Errorf("%s (directory %v) to %s %+v: %+v, %v; want %+v, %v", tc.src, tc.isDir, tc.dst, tc.at, got, err, tc.want, tc.err)
		}
	}
}
