package sys

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Termios is a terminal's settings (termios(3)).
type Termios struct{ t unix.Termios }

// GetTermios returns the settings of the terminal f; an error means that f is
// none.
func GetTermios(f *os.File) (*Termios, error) {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("get terminal settings of %s: %w", f.Name(), err)
	}
	return &Termios{*t}, nil
}

// SetTermios applies t to the terminal f.
func SetTermios(f *os.File, t *Termios) error {
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, &t.t); err != nil {
		return fmt.Errorf("set terminal settings of %s: %w", f.Name(), err)
	}
	return nil
}

// Raw returns t changed so that every byte passes unseen (cfmakeraw(3)).
func (t Termios) Raw() *Termios {
	r := t.t
	r.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	r.Oflag &^= unix.OPOST
	r.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	r.Cflag = r.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	r.Cc[unix.VMIN], r.Cc[unix.VTIME] = 1, 0
	return &Termios{r}
}

// WindowSize returns the rows and columns of the terminal f (TIOCGWINSZ).
func WindowSize(f *os.File) (rows, cols uint16, err error) {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, fmt.Errorf("get terminal size of %s: %w", f.Name(), err)
	}
	return ws.Row, ws.Col, nil
}

// SetWindowSize sets the rows and columns of the terminal f (TIOCSWINSZ). The
// kernel tells its foreground processes with SIGWINCH.
func SetWindowSize(f *os.File, rows, cols uint16) error {
	err := unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	if err != nil {
		return fmt.Errorf("set terminal size of %s: %w", f.Name(), err)
	}
	return nil
}
