package forward

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/problem/remedy"
	"github.com/nook-containers/nook/pkg/sys"
)

// Examine is what "nook doctor" says about what networks need: the device that
// carries their packets, low ports, and ping.
func Examine(h *doctor.Host) []doctor.Result {
	return []doctor.Result{examineTUN(h), examinePorts(h), examinePing(h)}
}

// Names of the checks.
const (
	checkTUN   = "tun"
	checkPorts = "low-ports"
	checkPing  = "ping"
)

const meansNoTUN = "Networks other than none and host do not work."

// Try makes a network namespace with a device in it, as networks do. It works only
// inside the user's namespace.
func Try() []doctor.Result {
	ns, err := sys.NewNetNS()
	if err != nil {
		return []doctor.Result{doctor.FromError(checkTUN, doctor.Problem, err, "Containers have no network but the host's.")}
	}
	defer ns.Close()
	err = sys.InNetNS(ns, func() error {
		queues, err := sys.OpenTAP("nook0", 1)
		for _, q := range queues {
			q.Close()
		}
		return err
	})
	if err != nil {
		return []doctor.Result{doctor.FromError(checkTUN, doctor.Problem, err, meansNoTUN)}
	}
	return []doctor.Result{doctor.Fine(checkTUN, "/dev/net/tun")}
}

func examineTUN(h *doctor.Host) doctor.Result {
	switch exists, allowed := h.MayOpen("/dev/net/tun"); {
	case !exists:
		return doctor.Result{Check: checkTUN, Level: doctor.Problem, Found: "/dev/net/tun is missing", Means: meansNoTUN, Fix: remedy.Module("tun")}
	case !allowed:
		return doctor.Result{Check: checkTUN, Level: doctor.Problem, Found: "/dev/net/tun is not yours to open", Means: meansNoTUN, Fix: "sudo chmod 666 /dev/net/tun"}
	}
	return doctor.Fine(checkTUN, "/dev/net/tun")
}

func examinePorts(h *doctor.Host) doctor.Result {
	first, err := strconv.ParseUint(h.Read("/proc/sys/net/ipv4/ip_unprivileged_port_start"), 10, 16)
	if err != nil {
		first = 1024 // as before Linux 4.11, and where it can't be read
	}
	if first <= 80 {
		return doctor.Fine(checkPorts, "ports from %d up", first)
	}
	return doctor.Result{
		Check: checkPorts, Level: doctor.OK, Found: fmt.Sprintf("ports from %d up", first),
		Means: fmt.Sprintf("Ports below %d cannot be published. From the change on every user can listen on them.", first), Fix: allowPorts(80),
	}
}

// examinePing reads ping_group_range: the groups that may ping, from and to. The
// default, 1 to 0, is nobody.
func examinePing(h *doctor.Host) doctor.Result {
	f := strings.Fields(h.Read("/proc/sys/net/ipv4/ping_group_range"))
	if len(f) == 2 {
		from, err1 := strconv.ParseUint(f[0], 10, 32)
		to, err2 := strconv.ParseUint(f[1], 10, 32)
		for _, gid := range h.Groups() {
			if err1 == nil && err2 == nil && from <= gid && gid <= to {
				return doctor.Fine(checkPing, "allowed")
			}
		}
	}
	return doctor.Result{
		Check: checkPing, Level: doctor.OK, Found: "not allowed",
		Means: "In networks of containers, ping does not reach other hosts.", Fix: allowPing(),
	}
}
