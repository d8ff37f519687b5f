package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nook-containers/nook/pkg/sys"
)

// A scene is a host as it is somewhere else. The test enters a user namespace
// with many ids by Start itself and is root there; it gives that namespace its own
// /etc and its own newuidmap, breaks something, and lets an ordinary user of that
// namespace, uid 1000, call Start. All of it is real, and none of it needs root.
type scene struct {
	SubUID, SubGID string // default: extra:10000:5000
	NSSwitch       string
	Helpers        os.FileMode // mode of newuidmap and newgidmap; default 4755
	Nosuid         bool        // mount them so
	NoHelpers      bool
	Sysctl         [2]string // path and value, set in the namespace around
	NoNewPrivs     bool
	Group          uint32 // default: 1000, the user's primary group
	Chroot         bool
	Second         bool // the user has made another user namespace already
}

const sceneUID = 1000

func TestStartInScenes(t *testing.T) {
	needRanges(t)
	for name, tc := range map[string]struct {
		scene
		err, hint, notice string
		ids               uint64
	}{
		"everything right":     {ids: 5001},
		"several ranges":       {scene: scene{SubUID: "1000:20000:10\nextra:10000:5\n", SubGID: "#\nextra:10000:15\n\nbroken\n"}, ids: 16},
		"no range":             {scene: scene{SubUID: "other:10000:5000\n", SubGID: "\n"}, ids: 1, notice: "usermod --add-subuids 15000-"},
		"no subgids":           {scene: scene{SubGID: "\n"}, err: ErrOneSided.Error(), hint: "--add-subgids 10000-14999 extra"},
		"overlap":              {scene: scene{SubUID: "extra:10000:10\nextra:10005:10\n"}, err: ErrOverlap.Error(), hint: "--del-subuids 10005-10014 extra"},
		"own id in range":      {scene: scene{SubUID: "extra:900:200\n"}, err: ErrOwnID.Error(), hint: "--del-subuids 900-1099 extra"},
		"range not mapped":     {scene: scene{SubUID: "extra:100000:65536\n"}, err: ErrOutsideParent.Error(), hint: "--del-subuids 100000-165535"},
		"no set-user-id bit":   {scene: scene{Helpers: 0o755}, err: ErrHelperNoPriv.Error(), hint: "chmod u+s /usr/bin/new"},
		"nosuid":               {scene: scene{Nosuid: true}, err: ErrHelperNoSUID.Error(), hint: "remount,suid"},
		"helper not there":     {scene: scene{NoHelpers: true}, err: ErrHelperMissing.Error(), hint: "install"},
		"no_new_privs":         {scene: scene{NoNewPrivs: true}, err: ErrNoNewPrivs.Error(), hint: "no-new-privs"},
		"no user namespaces":   {scene: scene{Sysctl: [2]string{"/proc/sys/user/max_user_namespaces", "0"}}, err: ErrUserNSDisabled.Error(), hint: "sysctl"},
		"user namespace limit": {scene: scene{Sysctl: [2]string{"/proc/sys/user/max_user_namespaces", "1"}, Second: true}, err: ErrUserNSLimit.Error(), hint: "lsns"},
		"no mount namespaces":  {scene: scene{Sysctl: [2]string{"/proc/sys/user/max_mnt_namespaces", "0"}}, err: ErrMountNSDisabled.Error(), hint: "sysctl"},
		"another group":        {scene: scene{Group: 1001}, err: ErrGroup.Error(), hint: "newgrp"},
		"chroot":               {scene: scene{Chroot: true}, err: ErrChroot.Error(), hint: "chroot"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.NoNewPrivs && withCgo() {
				t.Skip("a build with cgo cannot set no_new_privs on all threads")
			}
			text, err := json.Marshal(tc.scene)
			if err != nil {
				t.Fatal(err)
			}
			c := newCast(t)
			v := c.launch("scene", string(text))
			r := v.report()
			if r.Notice != "" {
				if tc.notice == "" || !strings.Contains(r.Notice, tc.notice) {
					t.Errorf("notice %q, want %q", r.Notice, tc.notice)
				}
				r, tc.notice = v.report(), ""
			}
			if !strings.Contains(r.Err, tc.err) || (r.Err == "") != (tc.err == "") || !strings.Contains(r.Hint, tc.hint) {
				t.Errorf("error %q, hint %q; want %q, %q", r.Err, r.Hint, tc.err, tc.hint)
			}
			if n, _ := r.Map.Size(); n != tc.ids {
				t.Errorf("%d ids in %v, want %d", n, r.Map, tc.ids)
			}
			if tc.notice != "" && v.report().Notice == "" {
				t.Errorf("no notice %q", tc.notice)
			}
		})
	}
}

// beScene sets the scene that text describes and plays it.
func beScene(text string) error {
	sc := scene{SubUID: "extra:10000:5000\n", SubGID: "extra:10000:5000\n", Helpers: 0o4755, Group: sceneUID}
	given := sc
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return err
	}
	sc = given.withDefaults(sc)
	dir, err := os.MkdirTemp("", "scene")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	if err := sys.Mount("none", dir, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := errors.Join(sc.etc(dir), sc.helpers(dir)); err != nil {
		return err
	}
	if sc.Sysctl[0] != "" {
		if err := sys.WriteProc(sc.Sysctl[0], sc.Sysctl[1]); err != nil {
			return err
		}
	}
	return sc.play(dir)
}

func (sc scene) withDefaults(d scene) scene {
	if sc.SubUID == "" {
		sc.SubUID = d.SubUID
	}
	if sc.SubGID == "" {
		sc.SubGID = d.SubGID
	}
	if sc.Helpers == 0 {
		sc.Helpers = d.Helpers
	}
	if sc.Group == 0 {
		sc.Group = d.Group
	}
	return sc
}

func (sc scene) etc(dir string) error {
	for file, text := range map[string]string{
		"/etc/passwd":        fmt.Sprintf("root:x:0:0::/root:/bin/sh\nextra:x:%d:%d::/tmp:/bin/sh\n", sceneUID, sceneUID),
		"/etc/subuid":        sc.SubUID,
		"/etc/subgid":        sc.SubGID,
		"/etc/nsswitch.conf": sc.NSSwitch,
	} {
		if err := cover(dir, file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// helpers replaces newuidmap and newgidmap by copies that belong to the root of
// this namespace: the set-user-id bit of the host's means nothing here.
func (sc scene) helpers(dir string) error {
	for _, name := range []string{"newuidmap", "newgidmap"} {
		path := Host{Env: os.Environ()}.find(name)
		bin, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mode := sc.Helpers & 0o777
		if sc.Helpers&0o4000 != 0 {
			mode |= os.ModeSetuid
		}
		if sc.NoHelpers {
			mode = 0o644
		}
		if err := cover(dir, path, string(bin), mode); err != nil {
			return err
		}
		if sc.Nosuid {
			if err := sys.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_NOSUID, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

func (sc scene) play(dir string) error {
	root := ""
	if sc.Chroot {
		root = filepath.Join(dir, "root")
		for _, d := range []string{"/proc", "/etc", "/usr", "/bin", "/lib", "/lib64", "/dev"} {
			if err := os.MkdirAll(root+d, 0o755); err != nil {
				return err
			}
			if _, err := os.Stat(d); err != nil {
				continue
			}
			if err := sys.Mount(d, root+d, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
				return err
			}
		}
	}
	if sc.Second {
		first := sc.starter(dir, "", "first")
		first.Stdout = nil
		if err := errors.Join(sc.makeRun(dir, "", "first"), first.Run()); err != nil {
			return err
		}
	}
	if err := sc.makeRun(dir, root, "run"); err != nil {
		return err
	}
	return sc.starter(dir, root, "run").Run()
}

func (sc scene) makeRun(dir, root, name string) error {
	run := filepath.Join(sceneRun(dir, root), name)
	if err := os.MkdirAll(root+filepath.Dir(run), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(root+run, 0o700); err != nil {
		return err
	}
	return os.Chown(root+run, sceneUID, int(sc.Group))
}

// sceneRun is where run directories are, as seen from root.
func sceneRun(dir, root string) string {
	if root != "" {
		return "/run"
	}
	return dir
}

func (sc scene) starter(dir, root, run string) *exec.Cmd {
	cmd := self(asStarter, filepath.Join(sceneRun(dir, root), run), "hold")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if sc.NoNewPrivs {
		cmd.Env = append(cmd.Env, noNewPrivs+"=1")
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: sceneUID, Gid: sc.Group}}
	return cmd
}
