package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// AsRoot runs a command as root of a user namespace that holds all of the
// user's sub-ids, and returns its output. It shares no code with nook on
// purpose: it cleans up after a nook that may be broken.
func AsRoot(argv ...string) ([]byte, error) {
	if os.Getuid() == 0 {
		return exec.Command(argv[0], argv[1:]...).CombinedOutput()
	}
	// The shell waits for its ids: execve grants capabilities only to a mapped root.
	cmd := exec.Command("sh", append([]string{"-c", `read -r _ && exec "$@"`, "sh"}, argv...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("create user namespace: %w", err)
	}
	err = errors.Join(mapIDs("newuidmap", "/etc/subuid", cmd.Process.Pid, os.Getuid()), mapIDs("newgidmap", "/etc/subgid", cmd.Process.Pid, os.Getgid()))
	if err == nil {
		_, err = stdin.Write([]byte("go\n"))
	}
	stdin.Close()
	return []byte(out.String()), errors.Join(err, cmd.Wait())
}

func mapIDs(tool, file string, pid, id int) error {
	first, count, err := subIDs(file)
	if err != nil {
		return err
	}
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(id), "1", "1", first, count}
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", tool, args, err, out)
	}
	return nil
}

// subIDs returns the user's first range in file (subuid(5)).
func subIDs(file string) (first, count string, err error) {
	u, err := user.Current()
	if err != nil {
		return "", "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 3 && (f[0] == u.Username || f[0] == u.Uid) {
			return f[1], f[2], nil
		}
	}
	return "", "", fmt.Errorf("%s has no range for %s; run: sudo contrib/host-setup --user %s", file, u.Username, u.Username)
}

// RemoveAll removes a tree that may hold files of sub-ids, or directories
// without permissions.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	if out, err := AsRoot("rm", "-rf", "--", dir); err != nil {
		return fmt.Errorf("remove %s: %w: %s", dir, err, out)
	}
	return nil
}
