package spec

import "strings"

// DefaultStopSignal ends a container when neither user nor image chose one.
const DefaultStopSignal = "SIGTERM"

// StopSignal is the signal that asks the container to end.
func StopSignal(c Container, img ImageConfig) string {
	for _, s := range []string{c.StopSignal, img.StopSignal} {
		if s != "" {
			return s
		}
	}
	if Systemd(c, img) {
		return systemdSignal
	}
	return DefaultStopSignal
}

// systemdSignal makes systemd shut down (systemd(1), SIGNALS).
const systemdSignal = "SIGRTMIN+3"

// Systemd reports whether the container is prepared for systemd: because it was
// asked for, or by the name of its command, as podman-run(1) has it.
func Systemd(c Container, img ImageConfig) bool {
	switch c.Session.Systemd {
	case SystemdAlways:
		return true
	case SystemdNever:
		return false
	}
	switch name := program(c, img); name {
	case "/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init", "systemd":
		return true
	default:
		return strings.HasSuffix(name, "/systemd")
	}
}

// program is the first word of what the container executes.
func program(c Container, img ImageConfig) string {
	words := [][]string{img.Entrypoint, c.Args, img.Cmd}
	if c.Entrypoint != nil {
		words = [][]string{*c.Entrypoint, c.Args}
	}
	for _, w := range words {
		if len(w) > 0 {
			return w[0]
		}
	}
	return ""
}
