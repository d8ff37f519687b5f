package userns

import (
	"fmt"
	"os"
	"strings"

	"github.com/nook-containers/nook/pkg/sys"
)

// Realm tells what only processes of one user namespace can share from the same of
// others that use the same run directory: "" for the user's namespace, the one that
// Start makes and joins, and for whoever has yet to enter it; "@" and a number for
// any other that this process is root in, as below unshare(1).
func Realm(runDir string) (string, error) {
	if os.Geteuid() != 0 || sys.IsFile(MemberFD, membersPath(runDir)) {
		return "", nil
	}
	mine, err := os.Readlink("/proc/self/ns/user") // user:[inode], namespaces(7)
	if err != nil {
		return "", err
	}
	same, err := memberIn(runDir, mine)
	if same || err != nil {
		return "", err
	}
	return "@" + strings.Trim(mine, "user:[]"), nil
}

// memberIn reports whether the user's namespace has a member, and is ns.
func memberIn(runDir string, ns string) (bool, error) {
	members, err := os.Open(membersPath(runDir))
	if err != nil {
		return false, nil // then it has none
	}
	defer members.Close() // this process has no lock on it to lose
	pid, err := sys.RecordHolder(members)
	if err != nil {
		return false, noRecordLocks(runDir, err)
	}
	if pid <= 0 {
		return false, nil
	}
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid))
	return err == nil && theirs == ns, nil
}
