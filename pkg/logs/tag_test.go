package logs

import (
	"strings"
	"testing"
)

func TestExpandTag(t *testing.T) {
	id := strings.Repeat("ab", 32)
	f := Fields{FullID: id, Name: "web", ImageFullID: strings.Repeat("cd", 32), ImageName: "img:1"}
	for in, want := range map[string]string{
		"": "", "plain": "plain", "{{.Name}}": "web", "<{{ .ID }}/{{.ImageName}}>": "<abababababab/img:1>",
		"{{.FullID}}{{.ImageID}}": id + "cdcdcdcdcdcd", "{{.DaemonName}}}}": "nook}}",
	} {
		if got, err := ExpandTag(in, f); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"{{", "{{}}", "{{Name}}", "{{.Nope}}", "{{if .Name}}x{{end}}"} {
		if got, err := ExpandTag(in, f); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}
