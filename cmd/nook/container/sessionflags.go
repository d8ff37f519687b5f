package container

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
)

// sessionFlags are the flags about the surroundings of the command, as typed.
type sessionFlags struct {
	envHost, httpProxy            bool
	umask, systemd, hostsFile     string
	hostUsers, requires, addHosts []string
	attach                        []string
	stopTimeout, oomScoreAdj      int
}

func (o *createFlags) addSession(f *pflag.FlagSet) {
	s, q := &o.req.Spec.Session, &o.session
	f.BoolVar(&q.envHost, "env-host", false, "take over the user's whole environment")
	f.StringArrayVar(&s.MergeEnv, "env-merge", nil, "variable built from the image's: NAME=text with ${NAME}")
	f.StringArrayVar(&s.DropEnv, "unsetenv", nil, "variable of the image not to set")
	f.BoolVar(&s.DropAllEnv, "unsetenv-all", false, "set no variable of the image, nor defaults")
	f.BoolVar(&q.httpProxy, "http-proxy", true, "take over the user's proxy variables")
	f.StringVar(&q.umask, "umask", "", "file mode mask inside, in octal (default 0022)")
	f.StringVar(&s.TimeZone, "tz", "", "time zone inside: a name as Europe/Berlin, or local")
	f.StringVar(&q.systemd, "systemd", "true", "prepare for systemd: true (if the command is one), always or false")
	f.StringVar(&s.PasswdEntry, "passwd-entry", "", "line for /etc/passwd of a user unknown there; $USERNAME, $UID, $GID, $NAME and $HOME are replaced")
	f.StringVar(&s.GroupEntry, "group-entry", "", "line for /etc/group of a group unknown there; $GROUPNAME, $GID and $USERLIST are replaced")
	f.StringArrayVar(&q.hostUsers, "hostuser", nil, "user of the host, by name or number, to add to /etc/passwd")
	f.StringSliceVarP(&q.attach, "attach", "a", nil, "show only stdin, stdout or stderr")
	f.IntVar(&q.stopTimeout, "stop-timeout", int(container.DefaultStopTimeout.Seconds()), "seconds between the stop signal and SIGKILL; -1 waits for ever")
	f.IntVar(&o.req.Spec.Timeout, "timeout", 0, "seconds after which the container is killed; 0: never")
	f.StringSliceVar(&q.requires, "requires", nil, "containers to start before this one")
	f.IntVar(&q.oomScoreAdj, "oom-score-adj", 0, "how much sooner it is ended when memory is short, -1000 to 1000")
	f.StringArrayVar(&q.addHosts, "add-host", nil, "line of /etc/hosts: NAME[;NAME...]:ADDRESS")
	f.BoolVar(&o.req.Spec.Hosts.NoHosts, "no-hosts", false, "leave the image's /etc/hosts alone")
	f.BoolVar(&o.req.Spec.Hosts.NoName, "no-hostname", false, "leave the image's /etc/hostname alone")
	f.StringVar(&q.hostsFile, "hosts-file", "", "`FILE` to begin /etc/hosts with, or image, or none; default: none, or with --network host the host's")
	f.BoolVar(&o.req.Spec.Privileged, "privileged", false, "all capabilities, devices and paths that the user has; no system call filter")
}

func (o *createFlags) readSession(r *container.Request, h host) error {
	q := &o.session
	s := &r.Spec.Session
	if q.envHost {
		s.HostEnv = slices.Clone(h.environ)
	}
	if q.httpProxy {
		s.ProxyEnv = proxies(h.environ)
	}
	for _, e := range s.MergeEnv {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("--env-merge %q: want NAME=VALUE", e)
		}
	}
	var err error
	if s.Umask, err = syntax.Umask(q.umask); err != nil {
		return err
	}
	if err := checkZone(s.TimeZone); err != nil {
		return err
	}
	if s.HostUsers, err = hostUsers(q.hostUsers); err != nil {
		return err
	}
	return errors.Join(o.readWords(r), o.readTimes(r), o.readHosts(r, h))
}

// readWords reads flags that take one of some words.
func (o *createFlags) readWords(r *container.Request) error {
	q, s := &o.session, &r.Spec.Session
	switch q.systemd {
	case "true":
	case spec.SystemdAlways, spec.SystemdNever:
		s.Systemd = q.systemd
	default:
		return fmt.Errorf("--systemd %q: want true, always or false", q.systemd)
	}
	for _, stream := range q.attach {
		stream = strings.ToLower(stream)
		if !slices.Contains([]string{"stdin", "stdout", "stderr"}, stream) {
			return fmt.Errorf("--attach %q: want stdin, stdout or stderr", stream)
		}
		s.Attach = append(s.Attach, stream)
	}
	s.KeepGroups = slices.Contains(r.Spec.Groups, keepGroups)
	if s.KeepGroups && len(r.Spec.Groups) > 1 {
		return errors.New("--group-add keep-groups excludes other groups")
	}
	if s.KeepGroups {
		r.Spec.Groups = nil
	}
	return nil
}

// keepGroups is the value of --group-add that keeps the user's own groups.
const keepGroups = "keep-groups"

func (o *createFlags) readTimes(r *container.Request) error {
	q := &o.session
	if o.set.Changed("stop-timeout") {
		if q.stopTimeout < -1 {
			return fmt.Errorf("--stop-timeout %d: want seconds, or -1", q.stopTimeout)
		}
		r.Spec.StopTimeout = &q.stopTimeout
	}
	if r.Spec.Timeout < 0 {
		return fmt.Errorf("--timeout %d: want seconds", r.Spec.Timeout)
	}
	if o.set.Changed("oom-score-adj") {
		if q.oomScoreAdj < -1000 || q.oomScoreAdj > 1000 {
			return fmt.Errorf("--oom-score-adj %d: want -1000 to 1000", q.oomScoreAdj)
		}
		r.Spec.OOMScoreAdj = &q.oomScoreAdj
	}
	return nil
}

func (o *createFlags) readHosts(r *container.Request, h host) error {
	hosts := &r.Spec.Hosts
	for _, text := range o.session.addHosts {
		line, err := addedHost(text)
		if err != nil {
			return err
		}
		hosts.Add = append(hosts.Add, line)
	}
	if hosts.NoHosts && (len(hosts.Add) > 0 || o.session.hostsFile != "") {
		return errors.New("--no-hosts excludes --add-host and --hosts-file")
	}
	switch file := o.session.hostsFile; {
	case file == "" || file == spec.HostsImage || file == spec.HostsNone || filepath.IsAbs(file):
		hosts.HostsFile = file
	default:
		hosts.HostsFile = filepath.Join(h.dir, file)
	}
	if filepath.IsAbs(hosts.HostsFile) {
		if _, err := os.Stat(hosts.HostsFile); err != nil {
			return fmt.Errorf("--hosts-file: %w", err)
		}
	}
	return nil
}

// addedHost reads --add-host NAME[;NAME...]:ADDRESS, and puts spaces between names.
func addedHost(text string) (string, error) {
	names, address, ok := strings.Cut(text, ":")
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if _, err := netip.ParseAddr(address); !ok || names == "" || err != nil && address != container.HostGateway {
		return "", fmt.Errorf("--add-host %q: want NAME[;NAME...]:ADDRESS", text)
	}
	for name := range strings.SplitSeq(names, ";") {
		if name == "" || strings.ContainsAny(name, " \t\n#") {
			return "", fmt.Errorf("--add-host %q: %q is no host name", text, name)
		}
	}
	return strings.ReplaceAll(names, ";", " ") + ":" + address, nil
}

// proxies are the variables that programs find their way out of the network by.
func proxies(environ []string) []string {
	var out []string
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		switch strings.ToLower(name) {
		case "http_proxy", "https_proxy", "ftp_proxy", "no_proxy":
			if value != "" {
				out = append(out, e)
			}
		}
	}
	return out
}

// checkZone finds a time zone that the host does not know.
func checkZone(name string) error {
	if name == "" || name == spec.TimeZoneLocal {
		return nil
	}
	path, err := container.ZoneFile(name)
	if err == nil {
		_, err = os.Stat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return problem.Hint(fmt.Errorf("--tz %q: the host does not know this time zone", name), "run: ls /usr/share/zoneinfo; it comes with the package tzdata")
	}
	return err
}

// hostUsers finds the lines of the host's /etc/passwd for users by name or number.
func hostUsers(who []string) ([]string, error) {
	if len(who) == 0 {
		return nil, nil
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return nil, fmt.Errorf("--hostuser: %w", err)
	}
	var out []string
	for _, w := range who {
		line := ""
		for l := range strings.Lines(string(passwd)) {
			f := strings.Split(strings.TrimSpace(l), ":")
			if len(f) == 7 && (f[0] == w || f[2] == w) {
				f[1] = "*"
				line = strings.Join(f, ":")
				break
			}
		}
		if line == "" {
			return nil, fmt.Errorf("--hostuser %s: the host has no such user in /etc/passwd", strconv.Quote(w))
		}
		out = append(out, line)
	}
	return out, nil
}
