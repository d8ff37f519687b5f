package spec

import "testing"

func TestSystemd(t *testing.T) {
	for _, tc := range []struct {
		mode, command string
		want          bool
	}{
		{"", "/sbin/init", true},
		{"", "/usr/lib/systemd/systemd", true},
		{"", "/bin/init", false},
		{"", "sh", false},
		{SystemdAlways, "sh", true},
		{SystemdNever, "/sbin/init", false},
	} {
		c := Container{Args: []string{tc.command}, Session: Session{Systemd: tc.mode}}
		if got := Systemd(c, ImageConfig{}); got != tc.want {
			t.Errorf("%q with --systemd=%q: %v, want %v", tc.command, tc.mode, got, tc.want)
		}
		if got := StopSignal(c, ImageConfig{}) == systemdSignal; got != tc.want {
			t.Errorf("%q with --systemd=%q: stopped by systemd's signal: %v, want %v", tc.command, tc.mode, got, tc.want)
		}
	}
	own := []string{}
	for name, got := range map[string]bool{
		"the image's entrypoint":   Systemd(Container{}, ImageConfig{Entrypoint: []string{"/sbin/init"}, Cmd: []string{"x"}}),
		"the image's command":      Systemd(Container{}, ImageConfig{Cmd: []string{"/sbin/init"}}),
		"an entrypoint taken away": Systemd(Container{Entrypoint: &own, Args: []string{"/sbin/init"}}, ImageConfig{Entrypoint: []string{"sh"}}),
	} {
		if !got {
			t.Errorf("%s is not seen", name)
		}
	}
	if Systemd(Container{}, ImageConfig{}) {
		t.Error("no command is taken for systemd")
	}
}
