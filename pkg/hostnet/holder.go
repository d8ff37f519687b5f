package hostnet

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Holder is who has a port of the host.
type Holder struct {
	PID  int    // 0: not to be seen from here
	Name string // of the program (proc_pid_comm(5)); empty without PID
	UID  int    // of the socket's owner
}

// tcpListen is the state of a listening TCP socket in the kernel's tables
// (include/net/tcp_states.h).
const tcpListen = "0A"

// FindHolder looks for who listens at a port, "tcp" or "udp", in this process's
// network namespace. ok is false where nobody does. Which process it is can be seen
// of the user's own alone.
func FindHolder(proto string, port uint16) (h Holder, ok bool) {
	var inode string
	for _, table := range []string{proto, proto + "6"} {
		if h.UID, inode, ok = findSocket("/proc/self/net/"+table, proto == "tcp", port); ok {
			break
		}
	}
	if !ok {
		return h, false
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, l := range links {
		if to, err := os.Readlink(l); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		dir := filepath.Dir(filepath.Dir(l))
		comm, _ := os.ReadFile(dir + "/comm") // it may have ended: then it has no name
		h.PID, _ = strconv.Atoi(filepath.Base(dir))
		h.Name = strings.TrimSpace(string(comm))
		return h, true
	}
	return h, true
}

// findSocket looks for a port in one of the kernel's tables (proc_pid_net(5)).
func findSocket(table string, listening bool, port uint16) (uid int, inode string, ok bool) {
	f, err := os.Open(table)
	if err != nil {
		return 0, "", false // a kernel without the family
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		uid, inode, ok := parseSocket(lines.Text(), listening, port)
		if ok {
			return uid, inode, true
		}
	}
	return 0, "", false
}

// parseSocket reads one line: sl, local address, remote one, state, queues, timer,
// retransmissions, uid, timeout, inode.
func parseSocket(line string, listening bool, port uint16) (uid int, inode string, ok bool) { //nolint:revive // as above
	f := strings.Fields(line)
	if len(f) < 10 || listening && f[3] != tcpListen {
		return 0, "", false
	}
	_, hex, found := strings.Cut(f[1], ":")
	have, err := strconv.ParseUint(hex, 16, 16)
	if !found || err != nil || uint16(have) != port {
		return 0, "", false
	}
	uid, err = strconv.Atoi(f[7])
	return uid, f[9], err == nil
}
