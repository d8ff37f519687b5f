// Package vm boots a machine in qemu: a kernel and a systemd of its own, every
// cgroup controller delegated to the user, and a disk that outlives a power cut.
// It needs no root. Without KVM it emulates, and boots in about half a minute.
//
// Theory of operation. The kernel is started directly, without firmware, boot
// loader or initrd; NVMe and ext4 are built into it. The first disk is a copy of
// the fixture's, the second one holds the payload. There is no network: the agent
// inside and the tests outside talk JSON over a virtio serial port, one command at
// a time. The serial console goes to a file. When the kernel panics, or shuts
// down, qemu ends, and the connection with it: nobody waits for a dead machine.
package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nook-containers/nook/test/machine"
	"github.com/nook-containers/nook/test/vm/wire"
)

const (
	bootLimit = 6 * time.Minute
	offLimit  = 2 * time.Minute
	// kvmLimit is how long a kernel may take to its first word where KVM works.
	// Some hosts have a /dev/kvm that cannot run a whole kernel.
	kvmLimit = 20 * time.Second
)

// VM is a machine in qemu.
type VM struct {
	work   *machine.WorkDir
	dir    string // its path: disk.img, payload.img, console.log
	kernel string
	accel  string

	payload string // directory that the disks are made of

	qemu    *exec.Cmd
	done    chan struct{} // closed when qemu has ended
	conn    net.Conn
	answers chan wire.Answer // closed with the connection
}

// Boot starts a VM with the payload in a directory. $NOOK_VM_ACCEL, kvm or tcg,
// overrules what it finds.
func Boot(ctx context.Context, payload string) (_ *VM, err error) {
	v := &VM{kernel: filepath.Join(payload, "machine", "vmlinuz"), payload: payload}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	if _, err := exec.LookPath(program); err != nil {
		return v, fmt.Errorf("%w; run: sudo apt-get install --no-install-recommends qemu-system-x86", err)
	}
	if v.work, err = machine.MakeDir(machine.VM, nil); err != nil {
		return v, err
	}
	v.dir = v.work.Path
	if err := makeDisks(ctx, v.dir, payload); err != nil {
		return v, err
	}
	if v.accel = os.Getenv("NOOK_VM_ACCEL"); v.accel != "" {
		return v, v.start(ctx)
	}
	v.accel = "tcg"
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		f.Close()
		v.accel = "kvm"
	}
	err = v.start(ctx)
	if v.accel == "kvm" && errors.Is(err, errMute) {
		fmt.Fprintln(os.Stderr, "vm: this host's KVM does not run a kernel; emulating")
		v.accel = "tcg"
		err = v.start(ctx)
	}
	// Emulated processors that run at the same time break the guest's kernel now and
	// then. Nothing of what is tested has run by then.
	if v.accel == "tcg" && err != nil && strings.Contains(v.Console(), "Kernel panic") {
		fmt.Fprintln(os.Stderr, "vm: the emulated kernel panicked while it booted; once more")
		err = v.start(ctx)
	}
	return v, err
}

// errMute says that the kernel never wrote to its console.
var errMute = errors.New("the kernel said nothing")

// start boots what is on disk.
func (v *VM) start(ctx context.Context) error {
	socket := filepath.Join(v.dir, "agent")
	_ = os.Remove(socket)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := os.WriteFile(v.consoleFile(), nil, 0o644); err != nil {
		return err
	}
	said, err := os.Create(filepath.Join(v.dir, "qemu.log"))
	if err != nil {
		return err
	}
	defer said.Close()
	v.qemu = exec.Command(program, arguments(v.accel, v.dir, v.kernel)...)
	v.qemu.Stdout, v.qemu.Stderr = said, said
	v.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := v.qemu.Start(); err != nil {
		return err
	}
	v.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // the console tells more than its status
		close(done)
	}(v.qemu, v.done)
	if err := v.booted(ctx, listener); err != nil {
		v.cut()
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("%w\n%s%s", err, text, v.Console())
	}
	return nil
}

// booted waits for the agent's first word.
func (v *VM) booted(ctx context.Context, listener *net.UnixListener) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	// qemu connects at once, or ends.
	if err := listener.SetDeadline(time.Now().Add(kvmLimit)); err != nil {
		return err
	}
	conn, err := listener.Accept()
	if err != nil {
		return errors.Join(errMute, err)
	}
	v.conn, v.answers = conn, make(chan wire.Answer)
	go receive(conn, v.answers)
	var mute <-chan time.Time
	if v.accel == "kvm" {
		mute = time.After(kvmLimit)
	}
	for {
		select {
		case a, ok := <-v.answers:
			switch {
			case ok && a.Ready:
				return nil
			case ok:
				return fmt.Errorf("the agent's first word was %+v", a)
			case v.Console() == "":
				return errMute
			}
			return errors.New("it ended while it booted")
		case <-mute:
			if v.Console() == "" {
				return errMute
			}
		case <-ctx.Done():
			return fmt.Errorf("it did not boot: %w", ctx.Err())
		}
	}
}

func receive(conn net.Conn, answers chan<- wire.Answer) {
	defer close(answers)
	for dec := json.NewDecoder(bufio.NewReader(conn)); ; {
		var a wire.Answer
		if dec.Decode(&a) != nil {
			return // the machine is gone
		}
		answers <- a
	}
}

// Run runs c in a login session.
func (v *VM) Run(ctx context.Context, c machine.Command) (int, error) {
	if err := json.NewEncoder(v.conn).Encode(wire.Request{Args: c.Args, Env: c.Env}); err != nil {
		return 0, err
	}
	for {
		select {
		case a, ok := <-v.answers:
			switch {
			case !ok:
				return 0, machine.ErrEnded
			case a.Done && a.Error != "":
				return 0, errors.New(a.Error)
			case a.Done:
				return a.Status, nil
			}
			if err := pass(c, a); err != nil {
				return 0, err
			}
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func pass(c machine.Command, a wire.Answer) error {
	var to io.Writer
	switch a.Stream {
	case wire.Stdout:
		to = c.Out
	case wire.Stderr:
		to = c.Err
	default:
		return fmt.Errorf("the agent wrote to stream %d", a.Stream)
	}
	_, err := to.Write(a.Data)
	return err
}

// Reboot cuts the power, and boots again: what the kernel had not written to the
// disk is lost.
func (v *VM) Reboot(ctx context.Context) error {
	v.cut()
	return v.start(ctx)
}

// Renew boots with disks as they were at first.
func (v *VM) Renew(ctx context.Context) error {
	v.cut()
	if err := makeDisks(ctx, v.dir, v.payload); err != nil {
		return err
	}
	return v.start(ctx)
}

// cut kills qemu and waits for its end.
func (v *VM) cut() {
	if v.done == nil {
		return
	}
	_ = v.qemu.Process.Kill() // unless it has ended
	<-v.done
	if v.conn != nil {
		v.conn.Close()
		for range v.answers { // up to the end of what was said
		}
		v.conn = nil
	}
}

// Close shuts the system down and removes its disks.
func (v *VM) Close() error {
	err := v.poweroff()
	v.cut()
	if v.work != nil {
		err = errors.Join(err, v.work.Remove())
	}
	return err
}

func (v *VM) poweroff() error {
	if v.conn == nil {
		return nil // never booted
	}
	if err := json.NewEncoder(v.conn).Encode(wire.Request{Poweroff: true}); err != nil {
		return fmt.Errorf("power off: %w", err)
	}
	limit := time.After(offLimit)
	for {
		select {
		case _, ok := <-v.answers:
			if !ok {
				return nil
			}
		case <-limit:
			return fmt.Errorf("still not off after %v:\n%s", offLimit, v.Console())
		}
	}
}

// Console is what kernel and systemd wrote to the console.
func (v *VM) Console() string {
	text, _ := os.ReadFile(v.consoleFile())
	return strings.ReplaceAll(string(text), "\r", "")
}

func (v *VM) consoleFile() string { return filepath.Join(v.dir, "console.log") }
