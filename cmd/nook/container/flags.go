package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/attach"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/image"
	"github.com/nook-containers/nook/libpod/spec"
	"github.com/nook-containers/nook/libpod/syntax"
	"github.com/nook-containers/nook/pkg/problem"
	"github.com/nook-containers/nook/pkg/sys"
)

// createFlags are the flags that run and create share, as typed. Those that need
// no reading bind straight to the request.
type createFlags struct {
	req container.Request

	entrypoint, restart             string
	env, envFile, labels, labelFile []string
	volumes, mounts, tmpfs          []string
	devices, gpus, ulimits, sysctls []string
	annotations, securityOpts       []string
	logDriver                       string
	logOpts                         []string
	shmSize                         string
	ns                              nsFlags
	net                             networkFlags
	secrets                         []string
	imageVolume                     string
	rootfs, readOnlyTmpfs           bool
	session                         sessionFlags
	ids                             idFlags
	health                          healthFlags
	pull                            cmdutil.PullFlags
	cgroup                          cgroupFlags
	set                             *pflag.FlagSet
}

func (o *createFlags) add(f *pflag.FlagSet) {
	o.set = f
	s := &o.req.Spec
	f.Bool("help", false, "show this help") // without -h, which is the host name's
	f.StringVar(&s.Name, "name", "", "name of the container")
	f.BoolVar(&s.Remove, "rm", false, "remove the container when it ends")
	f.StringVar(&o.restart, "restart", "no", "start the container again when it ends: no, on-failure[:N], always or unless-stopped")
	f.BoolVar(&o.req.Replace, "replace", false, "remove a container of the same name first")
	f.StringVar(&o.entrypoint, "entrypoint", "", "program to run instead of the image's; a JSON array, or one word; empty for none")
	f.StringVarP(&s.Hostname, "hostname", "h", "", "host name inside")
	f.StringArrayVarP(&o.env, "env", "e", nil, "environment variable: NAME=VALUE, NAME or PREFIX*")
	f.StringArrayVar(&o.envFile, "env-file", nil, "file of environment variables, one a line")
	f.StringVarP(&s.WorkDir, "workdir", "w", "", "working directory inside")
	f.StringVarP(&s.User, "user", "u", "", "user[:group] to run as, names or numbers")
	f.StringArrayVar(&s.Groups, "group-add", nil, "supplementary group, or keep-groups for the user's own")
	f.BoolVarP(&s.OpenStdin, "interactive", "i", false, "pass standard input on")
	f.BoolVarP(&s.TTY, "tty", "t", false, "give the container a terminal")
	f.StringVar(&s.StopSignal, "stop-signal", "", "signal that asks the container to end")
	f.BoolVar(&s.Init, "init", false, "run a reaper of orphans as process 1")
	f.StringArrayVarP(&o.labels, "label", "l", nil, "label: KEY[=VALUE]")
	f.StringArrayVar(&o.labelFile, "label-file", nil, "file of labels, one a line")
	f.StringArrayVar(&o.annotations, "annotation", nil, "annotation: KEY=VALUE")
	f.StringVar(&o.logDriver, "log-driver", "", "where output is kept: k8s-file (default), json-file, journald or none; passthrough gives the container nook's own streams")
	f.StringArrayVar(&o.logOpts, "log-opt", nil, "option of the log driver: max-size=SIZE, max-file=N, path=FILE or tag=TEMPLATE")
	f.StringVar(&o.req.CIDFile, "cidfile", "", "write the container's id to this file")
	f.StringVar(&o.req.PIDFile, "pidfile", "", "write the process id to this file")
	f.StringVar(&o.req.Monitor, "conmon-pidfile", "", "write the process id of what looks after the container to this file")
	f.StringVar(&s.Domainname, "domainname", "", "NIS domain name inside")
	o.addFiles(f)
	o.addSecurity(f)
	o.ids.add(f)
	o.addNetwork(f)
	o.cgroup.add(f)
	o.addSession(f)
	o.health.add(f)
	o.pull.Define(f)
	f.StringVar(&o.pull.Policy, "pull", image.Missing, "when to pull the image: always, missing, never or newer")
}

func (o *createFlags) addFiles(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.volumes, "volume", "v", nil, "show a volume or a host directory: [NAME|HOST:]CONTAINER[:OPTIONS]")
	f.StringArrayVar(&o.mounts, "mount", nil, "mount: type=volume|bind|tmpfs|image,src=...,dst=...[,OPTION]")
	f.StringArrayVar(&o.req.Spec.VolumesFrom, "volumes-from", nil, "the volumes and host directories of a container: CONTAINER[:ro|z]")
	f.StringVar(&o.imageVolume, "image-volume", "anonymous", "what the image's volumes become: anonymous (or bind), tmpfs or ignore")
	f.StringArrayVar(&o.tmpfs, "tmpfs", nil, "empty directory in memory: CONTAINER[:OPTIONS]")
	f.BoolVar(&o.req.Spec.ReadOnly, "read-only", false, "make the root file system read-only")
	f.BoolVar(&o.readOnlyTmpfs, "read-only-tmpfs", true, "with --read-only, keep /dev, /dev/shm, /run, /tmp and /var/tmp writable")
	f.StringArrayVar(&o.devices, "device", nil, "show a host device: HOST[:CONTAINER][:rwm], or one that is described there (CDI): VENDOR/CLASS=NAME")
	f.StringArrayVar(&o.gpus, "gpus", nil, "show GPUs that are described on the host (CDI): all, a number or device=NAME[,NAME...]")
	f.StringArrayVar(&o.secrets, "secret", nil, "give a secret: NAME[,type=mount|env,target=...,uid=...,gid=...,mode=...]")
	f.StringVar(&o.shmSize, "shm-size", "", "size of /dev/shm (default 64m)")
	f.BoolVar(&o.rootfs, "rootfs", false, "the argument is a directory to run from, not an image")
}

func (o *createFlags) addSecurity(f *pflag.FlagSet) {
	s := &o.req.Spec
	f.StringSliceVar(&s.CapAdd, "cap-add", nil, "add a capability, or ALL")
	f.StringSliceVar(&s.CapDrop, "cap-drop", nil, "drop a capability, or ALL")
	f.StringArrayVar(&o.securityOpts, "security-opt", nil, "no-new-privileges, seccomp=FILE|nested|unconfined, mask=PATH, unmask=PATH|ALL, proc-opts=OPTIONS, writable-cgroups, apparmor=PROFILE, label=disable, privileged-without-host-devices")
	f.StringArrayVar(&o.ulimits, "ulimit", nil, "resource limit: NAME=SOFT[:HARD]")
	f.StringArrayVar(&o.sysctls, "sysctl", nil, "kernel parameter: NAME=VALUE")
	o.ns.add(f)
}

// host is what the flags are read against.
type host struct {
	dir     string   // working directory
	environ []string // the user's environment
	args    []string // the command line
	stdin   io.Reader
	notice  func(string) // tells the user what is no error
}

// request turns the flags and arguments into a request. It reads the files that
// they name and changes nothing.
func (o *createFlags) request(args []string, h host) (container.Request, error) {
	r := o.req
	r.Spec.Version = spec.Version
	r.Spec.Image, r.Spec.Args = args[0], args[1:]
	if o.rootfs {
		r.Spec.Image, r.Spec.RootFS = "", filepath.Join(h.dir, args[0])
		if filepath.IsAbs(args[0]) {
			r.Spec.RootFS = filepath.Clean(args[0])
		}
	}
	for _, step := range []func(*container.Request, host) error{
		o.readName, o.readProcess, o.readLog, o.readHealth, o.readLabels, o.readMounts, o.readIsolation, o.readNetwork, o.readSession, o.readPull,
		func(r *container.Request, _ host) error { return o.cgroup.readInto(&r.Spec) },
	} {
		if err := step(&r, h); err != nil {
			return r, err
		}
	}
	for _, p := range []*string{&r.CIDFile, &r.PIDFile, &r.Monitor} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(h.dir, *p)
		}
	}
	r.Spec.CIDFile, r.Spec.CreateCommand = r.CIDFile, append([]string{"nook"}, withoutCreds(h.args)...)
	return r, checkCIDFile(r.CIDFile)
}

// withoutCreds leaves out what no record should have: the password of a registry.
func withoutCreds(args []string) []string {
	var out []string
	for i, a := range args {
		if a != "--creds" && !strings.HasPrefix(a, "--creds=") && (i == 0 || args[i-1] != "--creds") {
			out = append(out, a)
		}
	}
	return out
}

func checkCIDFile(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return problem.Hint(fmt.Errorf("container id file %s: already exists", path), "run: rm %s", path)
	}
	return nil
}

func (o *createFlags) readName(r *container.Request, _ host) (err error) {
	if r.Spec.Restart, err = syntax.Restart(o.restart); err != nil {
		return err
	}
	if r.Spec.Restart.Policy != "" && r.Spec.Remove {
		return errors.New("--restart and --rm exclude each other")
	}
	if r.Replace && r.Spec.Name == "" {
		return errors.New("--replace needs --name")
	}
	if r.Spec.Name == "" {
		return nil
	}
	return syntax.Name(r.Spec.Name)
}

func (o *createFlags) readProcess(r *container.Request, h host) error {
	s := &r.Spec
	if o.set.Changed("entrypoint") {
		entry, err := syntax.Entrypoint(o.entrypoint)
		if err != nil {
			return err
		}
		s.Entrypoint = &entry
	}
	for _, name := range o.envFile {
		content, err := readFile(name, h)
		if err != nil {
			return fmt.Errorf("environment file: %w", err)
		}
		entries, err := syntax.EnvFile(name, string(content), h.environ)
		if err != nil {
			return err
		}
		s.Env = append(s.Env, entries...)
	}
	for _, e := range o.env {
		entries, err := syntax.Env(e, h.environ)
		if err != nil {
			return err
		}
		s.Env = append(s.Env, entries...)
	}
	if s.StopSignal != "" {
		if _, err := sys.ParseSignal(s.StopSignal); err != nil {
			return err
		}
	}
	if s.WorkDir != "" && !strings.HasPrefix(s.WorkDir, "/") {
		return fmt.Errorf("working directory %q: must be an absolute path", s.WorkDir)
	}
	_, err := attach.ParseKeys(s.DetachKeys)
	return err
}

func readFile(name string, h host) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(h.stdin)
	}
	return os.ReadFile(name)
}

func (o *createFlags) readLabels(r *container.Request, h host) error {
	labels := slices.Clone(o.labels)
	for _, name := range o.labelFile {
		content, err := readFile(name, h)
		if err != nil {
			return fmt.Errorf("label file: %w", err)
		}
		var fromFile []string
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				fromFile = append(fromFile, line)
			}
		}
		labels = append(fromFile, labels...)
	}
	r.Spec.Labels = map[string]string{}
	for _, l := range labels {
		key, value, err := syntax.Label(l)
		if err != nil {
			return err
		}
		r.Spec.Labels[key] = value
	}
	r.Spec.Annotations = map[string]string{}
	for _, a := range o.annotations {
		key, value, err := syntax.KeyValue("annotation", a)
		if err != nil {
			return err
		}
		r.Spec.Annotations[key] = value
	}
	return nil
}

func (o *createFlags) readMounts(r *container.Request, h host) error {
	s := &r.Spec
	add := func(texts []string, read func(string) (spec.Mount, error)) error {
		for _, text := range texts {
			m, err := read(text)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(s.Mounts, func(x spec.Mount) bool { return x.Target == m.Target }) {
				return fmt.Errorf("%s: mounted more than once", m.Target)
			}
			s.Mounts = append(s.Mounts, m)
		}
		return nil
	}
	s.Mounts = nil
	if err := errors.Join(
		add(o.volumes, func(t string) (spec.Mount, error) { return syntax.Volume(t, h.dir) }),
		add(o.mounts, func(t string) (spec.Mount, error) { return syntax.Mount(t, h.dir) }),
		add(o.tmpfs, syntax.Tmpfs),
	); err != nil {
		return err
	}
	for _, m := range s.Mounts {
		if err := checkSource(m); err != nil {
			return err
		}
	}
	if err := o.readImageVolume(s); err != nil {
		return err
	}
	if err := o.readDevices(s); err != nil {
		return err
	}
	for _, text := range o.secrets {
		sec, err := syntax.Secret(text)
		if err != nil {
			return err
		}
		s.Secrets = append(s.Secrets, sec)
	}
	s.ReadOnlyAll = s.ReadOnly && !o.readOnlyTmpfs
	if o.shmSize == "" {
		return nil
	}
	var err error
	s.ShmSize, err = syntax.Bytes(o.shmSize)
	return err
}

func (o *createFlags) readImageVolume(s *spec.Container) error {
	switch o.imageVolume {
	case "anonymous", "bind": // podman's word for the same
		s.ImageVolume = spec.ImageVolumeAnonymous
	case spec.ImageVolumeTmpfs, spec.ImageVolumeIgnore:
		s.ImageVolume = o.imageVolume
	default:
		return fmt.Errorf("--image-volume %q: want anonymous, bind, tmpfs or ignore", o.imageVolume)
	}
	for _, from := range s.VolumesFrom {
		if _, err := syntax.VolumesFrom(from); err != nil {
			return err
		}
	}
	return nil
}

// checkSource looks before anything is made: a missing host directory is a typing
// error far more often than a wish.
func checkSource(m spec.Mount) error {
	if m.Type == spec.MountBind {
		if _, err := os.Stat(m.Source); err != nil {
			return problem.Hint(fmt.Errorf("volume %s: %w", m.Source, errors.Unwrap(err)), "run: mkdir -p %s", m.Source)
		}
	}
	if slices.Contains(m.Options, "z") || slices.Contains(m.Options, "Z") {
		if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
			return problem.Hint(fmt.Errorf("volume %s: relabelling for SELinux is not there yet", m.Source+m.Volume),
				"run: chcon -R -t container_file_t DIR, and leave the option out")
		}
	}
	return nil
}

func (o *createFlags) readIsolation(r *container.Request, h host) (err error) {
	s := &r.Spec
	if err := o.ns.read(s); err != nil {
		return err
	}
	if err := o.ids.read(&s.UserNS, o.set); err != nil {
		return err
	}
	for _, text := range o.securityOpts {
		read := func(name string) ([]byte, error) { return readFile(name, h) }
		if err := syntax.SecurityOpt(&s.Security, text, read); err != nil {
			return err
		}
	}
	if err := checkProfile(s, o.securityOpts); err != nil {
		return err
	}
	for _, text := range o.ulimits {
		u, err := readUlimit(text)
		if err != nil {
			return err
		}
		s.Ulimits = append(s.Ulimits, u)
	}
	s.Sysctls = map[string]string{}
	for _, text := range o.sysctls {
		key, value, err := syntax.KeyValue("sysctl", text)
		if err != nil {
			return err
		}
		s.Sysctls[key] = value
	}
	return nil
}

func (o *createFlags) readPull(r *container.Request, _ host) error {
	switch o.pull.Policy {
	case "true": // Podman's former spelling
		o.pull.Policy = image.Always
	case "false":
		o.pull.Policy = image.Missing
	}
	err := o.pull.Complete(o.set, "pull")
	r.Pull, r.Spec.Platform = o.pull.PullOptions, o.pull.Platform
	return err
}
