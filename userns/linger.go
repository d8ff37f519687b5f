package userns

import (
	"context"
	"time"

	"github.com/nook-containers/nook/pkg/sys"
)

// Linger has a process that has done its work wait for d before it ends, if it is the
// namespace's last member: commands of a script come one after the other, and each
// would make the namespace anew. It is to have nothing of its user's open any more.
func Linger(ctx context.Context, runDir string, d time.Duration) {
	members := Membership(runDir)
	if members == nil {
		return
	}
	pid, err := sys.RecordHolder(members)
	if err != nil || pid != 0 {
		return // another one is there
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
