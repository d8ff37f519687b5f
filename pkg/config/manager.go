package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Socket is one that the user's systemd may listen on.
type Socket struct {
	Path string
	Bus  bool // a message bus, else systemd itself
}

// ManagerSockets are the sockets of the user's systemd that exist, best first: its
// own, which needs no bus, and the session bus. They are looked for in the session's
// directory, and where systemd has that of every user: su and cron leave
// XDG_RUNTIME_DIR unset or somebody else's.
func ManagerSockets() []Socket {
	var found []Socket
	add := func(s Socket) {
		if fi, err := os.Stat(s.Path); err == nil && fi.Mode()&os.ModeSocket != 0 {
			found = append(found, s)
		}
	}
	home := filepath.Join("/run/user", strconv.Itoa(HostUID()))
	dirs := []string{home}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && filepath.Clean(dir) != home {
		dirs = []string{dir, home}
	}
	for _, dir := range dirs {
		add(Socket{Path: filepath.Join(dir, "systemd/private")})
	}
	for addr := range strings.SplitSeq(os.Getenv("DBUS_SESSION_BUS_ADDRESS"), ";") {
		if path, ok := strings.CutPrefix(addr, "unix:path="); ok {
			path, _, _ = strings.Cut(path, ",")
			add(Socket{Path: path, Bus: true})
		}
	}
	for _, dir := range dirs {
		add(Socket{Path: filepath.Join(dir, "bus"), Bus: true})
	}
	return found
}
