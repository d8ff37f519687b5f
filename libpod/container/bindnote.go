package container

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/userns"
)

// noteOwner tells the user, who owns what mnt shows, that the container's user is
// somebody else: why it will not be able to write there, or whose its files will
// be, and what makes both the same one.
func (m *mounter) noteOwner(mnt *spec.Mount) error {
	who := m.spec.Process.User
	if m.noted || mnt.ReadOnly || mnt.Chown || m.c.Spec.UserNS.Mode != spec.UserNSHost || who.UID == 0 {
		return nil
	}
	fi, err := os.Stat(mnt.Source)
	if err != nil {
		return fmt.Errorf("%s: %w", mnt.Source, err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Uid != 0 { // not the user's own, as the shared namespace sees it
		return nil
	}
	shared, err := userns.Current()
	if err != nil {
		return err
	}
	what := "who cannot write there"
	if mayWrite(st, who.UID, who.AdditionalGids) {
		what = "to whom its files there will belong"
	}
	m.noted = true
	m.e.Notice(fmt.Sprintf("%s is yours, but the container runs as user %d, who is user %d on this host and %s; to be that user yourself add: --userns keep-id:uid=%d,gid=%d",
		mnt.Source, who.UID, outsideID(shared.UIDs, who.UID), what, who.UID, who.GID))
	return nil
}

// mayWrite reports what the mode of a file allows. It knows nothing of access
// lists: for a note that is enough.
func mayWrite(st *syscall.Stat_t, uid uint32, groups []uint32) bool {
	const owner, group, others = 0o200, 0o020, 0o002
	switch {
	case st.Uid == uid:
		return st.Mode&owner != 0
	case slices.Contains(groups, st.Gid):
		return st.Mode&group != 0
	}
	return st.Mode&others != 0
}
