package sys

import (
	"slices"
	"testing"
)

func TestMountPoints(t *testing.T) {
	const info = "36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw\n" +
		"37 35 0:5 / /x\\134y rw - tmpfs t rw\n\n"
	if got, want := mountPoints(info), []string{"/mnt/a b", `/x\y`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
