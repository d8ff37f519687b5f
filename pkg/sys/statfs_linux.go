package sys

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// NoSUID reports whether path lies on a mount where execve ignores set-user-id
// bits and file capabilities (ST_NOSUID, statfs(2)).
func NoSUID(path string) (bool, error) {
	st, err := statfs(path)
	return err == nil && st.Flags&unix.ST_NOSUID != 0, err
}

// zfsMagic is that of OpenZFS, which is not part of Linux.
const zfsMagic = 0x2fc12fc1

// FSName returns the name of path's file system type, or its magic number
// (statfs(2)) where it is not one that people put home directories on.
func FSName(path string) (string, error) {
	st, err := statfs(path)
	if err != nil {
		return "", err
	}
	for _, fs := range [...]struct {
		magic uint32
		name  string
	}{
		{unix.NFS_SUPER_MAGIC, "nfs"},
		{unix.SMB_SUPER_MAGIC, "smb"},
		{unix.CIFS_SUPER_MAGIC, "smb"},
		{unix.SMB2_SUPER_MAGIC, "smb"},
		{unix.V9FS_MAGIC, "9p"},
		{unix.FUSE_SUPER_MAGIC, "fuse"},
		{unix.AFS_SUPER_MAGIC, "afs"},
		{unix.CEPH_SUPER_MAGIC, "ceph"},
		{unix.TMPFS_MAGIC, "tmpfs"},
		{unix.EXT4_SUPER_MAGIC, "ext4"},
		{unix.XFS_SUPER_MAGIC, "xfs"},
		{unix.BTRFS_SUPER_MAGIC, "btrfs"},
		{unix.F2FS_SUPER_MAGIC, "f2fs"},
		{zfsMagic, "zfs"},
		{unix.OVERLAYFS_SUPER_MAGIC, "overlay"},
		{unix.ECRYPTFS_SUPER_MAGIC, "ecryptfs"},
	} {
		if uint32(st.Type) == fs.magic { //nolint:gosec // magic numbers have 32 bits
			return fs.name, nil
		}
	}
	return "type 0x" + strconv.FormatUint(uint64(uint32(st.Type)), 16), nil //nolint:gosec // as above
}

func statfs(path string) (st unix.Statfs_t, err error) {
	err = retryEINTR(func() error { return unix.Statfs(path, &st) })
	if err != nil {
		return st, fmt.Errorf("statfs %s: %w", path, err)
	}
	return st, nil
}

// HasFileCaps reports whether the file at path carries capabilities
// (security.capability, capabilities(7)).
func HasFileCaps(path string) bool {
	_, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil
}

// Disk is what statfs(2) says about a file system.
type Disk struct {
	Name        string // as FSName has it
	Bytes, Used uint64 // of the whole
	Free        uint64 // for an ordinary user
	Files, Left uint64 // files there can be, and how many more; 0 and 0: no limit
	ReadOnly    bool
}

// DiskOf returns the file system that path is on.
func DiskOf(path string) (Disk, error) {
	st, err := statfs(path)
	if err != nil {
		return Disk{}, err
	}
	name, err := FSName(path)
	if err != nil {
		return Disk{}, err
	}
	block := uint64(st.Bsize) //nolint:gosec // a block size is positive
	return Disk{
		Name: name, Bytes: st.Blocks * block, Used: (st.Blocks - st.Bfree) * block, Free: st.Bavail * block,
		Files: st.Files, Left: st.Ffree, ReadOnly: st.Flags&unix.ST_RDONLY != 0,
	}, nil
}
