package userns

import (
	"os"

	"github.com/nook-containers/nook/pkg/sys"
)

// Membership returns the descriptor that a child of this process must have as
// MemberFD in order that this program, when it is started there, finds the
// namespace's locks; nil where this process is no member. The file must stay
// referenced until this process ends: closing it would end the membership.
func Membership(runDir string) *os.File {
	if !sys.IsFile(MemberFD, membersPath(runDir)) {
		return nil
	}
	return os.NewFile(MemberFD, "userns.members")
}
