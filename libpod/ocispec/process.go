package ocispec

import (
	"fmt"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nook-containers/nook/libpod/spec"
)

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func buildProcess(in Input) (*specs.Process, error) {
	args, err := Command(in.Spec, in.Image)
	if err != nil {
		return nil, err
	}
	env, err := Env(in)
	if err != nil {
		return nil, err
	}
	caps, err := buildCaps(in)
	if err != nil {
		return nil, err
	}
	rlimits, err := buildRlimits(in.Spec.Ulimits)
	if err != nil {
		return nil, err
	}
	cwd := "/"
	for _, d := range []string{in.Spec.WorkDir, in.Image.WorkingDir} {
		if d != "" {
			cwd = d
			break
		}
	}
	if !strings.HasPrefix(cwd, "/") {
		cwd = "/" + cwd
	}
	umask := uint32(0o022)
	if m := in.Spec.Session.Umask; m != nil {
		umask = *m
	}
	return &specs.Process{
		Terminal:        in.Spec.TTY,
		User:            specs.User{UID: in.User.UID, GID: in.User.GID, AdditionalGids: in.User.Groups, Umask: &umask},
		Args:            args,
		Env:             env,
		Cwd:             cwd,
		Capabilities:    caps,
		Rlimits:         rlimits,
		NoNewPrivileges: in.Spec.Security.NoNewPrivileges,
		ApparmorProfile: in.Spec.Security.AppArmor,
		OOMScoreAdj:     in.Spec.OOMScoreAdj,
	}, nil
}

// mergeEnv joins lists of NAME=VALUE; a later entry replaces an earlier one of the
// same name in its place.
func mergeEnv(lists ...[]string) []string {
	at := map[string]int{}
	var merged []string
	for _, e := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(e, "=")
		if i, seen := at[name]; seen {
			merged[i] = e
			continue
		}
		at[name] = len(merged)
		merged = append(merged, e)
	}
	return merged
}

// CheckUlimit refuses a limit of which the kernel knows nothing.
func CheckUlimit(l spec.Ulimit) error {
	_, err := buildRlimits([]spec.Ulimit{l})
	return err
}

func buildRlimits(limits []spec.Ulimit) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	for _, l := range limits {
		name := "RLIMIT_" + strings.ToUpper(l.Name)
		if !slices.Contains(rlimitNames(), name) {
			return nil, fmt.Errorf("ulimit %s: no such limit; one of %s", l.Name, knownUlimits())
		}
		out = append(out, specs.POSIXRlimit{Type: name, Soft: limit(l.Soft), Hard: limit(l.Hard)})
	}
	return out, nil
}

func limit(v int64) uint64 {
	if v < 0 {
		return math.MaxUint64
	}
	return uint64(v)
}

// rlimitNames are those of getrlimit(2).
func rlimitNames() []string {
	return []string{
		"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK",
		"RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
		"RLIMIT_SIGPENDING", "RLIMIT_STACK",
	}
}

func knownUlimits() string {
	return strings.ToLower(strings.ReplaceAll(strings.Join(rlimitNames(), ", "), "RLIMIT_", ""))
}
