package test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// tty runs a command on a terminal of its own, as a file of steps says:
//
//	expect REGEXP   waits until the output that no earlier expect used up matches
//	send TEXT       types TEXT (Go escapes: \n \x03)
//	resize ROWS COLS
//	signal NAME     to the command, by kill(2): INT TERM HUP QUIT KILL USR1
//	hangup          closes the terminal
//	exit N          the command ends with status N; the last step
//
// The terminal starts with 24 rows and 80 columns. Its whole output is the
// command's stdout for what follows in the script.
func tty(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "tty FILE CMD...")
	s, err := openSession(ts, args[1:])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	defer s.close()
	err = s.play(ts.ReadFile(args[0]))
	fmt.Fprint(ts.Stdout(), s.all())
	if err != nil {
		ts.Fatalf("%v\nterminal so far: %q", err, s.all())
	}
}

// patience is how long a step waits. It bounds a hang, nothing else.
const patience = 60 * time.Second

type session struct {
	master *os.File
	fd     int // master's; File.Fd would make it block
	cmd    *exec.Cmd
	ended  chan struct{}

	mu   sync.Mutex
	out  []byte
	used int           // bytes of out that expect has passed
	more chan struct{} // something new in out
}

func openSession(ts *testscript.TestScript, argv []string) (*session, error) {
	fd, slave, err := openPTY()
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	s := &session{fd: fd, master: os.NewFile(uintptr(fd), "ptmx"), ended: make(chan struct{}), more: make(chan struct{}, 1)}
	if err := s.resize(24, 80); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(path(ts, argv[0]), argv[1:]...)
	s.cmd.Env, s.cmd.Dir = environ(ts), ts.MkAbs(".")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go s.read()
	go func() {
		_ = s.cmd.Wait() // the status is in ProcessState
		close(s.ended)
	}()
	return s, nil
}

// openPTY makes a pseudo-terminal (pty(7)). The master is non-blocking, so that
// closing it ends a read.
func openPTY() (master int, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return -1, nil, errors.Join(err, unix.Close(fd))
	}
	return fd, slave, nil
}

func (s *session) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.master.Read(buf)
		s.mu.Lock()
		s.out = append(s.out, buf[:n]...)
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil { // EIO: nobody has the terminal open any more
			return
		}
	}
}

func (s *session) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.out)
}

func (s *session) close() {
	_ = s.cmd.Process.Kill() // has ended already, as a rule
	s.master.Close()
}

func (s *session) resize(rows, cols uint16) error {
	return unix.IoctlSetWinsize(s.fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

func (s *session) play(steps string) error {
	for line := range strings.Lines(steps) {
		line = strings.TrimRight(line, "\n")
		verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb == "" || strings.HasPrefix(verb, "#") {
			continue
		}
		if err := s.step(verb, arg); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

func (s *session) step(verb, arg string) error {
	switch verb {
	case "expect":
		return s.expect(arg)
	case "send":
		text, err := strconv.Unquote(`"` + arg + `"`)
		if err != nil {
			return err
		}
		_, err = io.WriteString(s.master, text)
		return err
	case "resize":
		var rows, cols uint16
		if _, err := fmt.Sscanf(arg, "%d %d", &rows, &cols); err != nil {
			return err
		}
		return s.resize(rows, cols)
	case "signal":
		sig := unix.SignalNum("SIG" + arg)
		if sig == 0 {
			return errors.New("unknown signal")
		}
		return s.cmd.Process.Signal(sig)
	case "hangup":
		return s.master.Close()
	case "exit":
		return s.exit(arg)
	}
	return errors.New("unknown step")
}

func (s *session) expect(pattern string) error {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	timeout := time.After(patience)
	for {
		s.mu.Lock()
		m := re.FindIndex(s.out[s.used:])
		if m != nil {
			s.used += m[1]
		}
		s.mu.Unlock()
		if m != nil {
			return nil
		}
		select {
		case <-s.more:
		case <-timeout:
			return errors.New("no match in time")
		}
	}
}

func (s *session) exit(arg string) error {
	want, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	select {
	case <-s.ended:
		if got := s.cmd.ProcessState.ExitCode(); got != want {
			return fmt.Errorf("exit status %d", got)
		}
		return nil
	case <-time.After(patience):
		return errors.New("still running")
	}
}
