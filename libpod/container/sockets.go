package container

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/config"
)

// listens is the environment of a container's first process, which a service manager's
// descriptors are for (sd_listen_fds(3)).
func listens(env []string, s config.Sockets) []string {
	if s.Count == 0 {
		return env
	}
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return name == "LISTEN_FDS" || name == "LISTEN_PID" || name == "LISTEN_FDNAMES"
	})
	env = append(env, "LISTEN_FDS="+strconv.Itoa(s.Count), "LISTEN_PID=1")
	if s.Names != "" {
		env = append(env, "LISTEN_FDNAMES="+s.Names)
	}
	return env
}
