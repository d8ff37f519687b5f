package syntax

import (
	"strings"
	"testing"
)

func TestLog(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "{Driver: Path: MaxSize:0 MaxFiles:0 Tag:}",
		"k8s-file max-size=10m max-file=3":       "{Driver:k8s-file Path: MaxSize:10485760 MaxFiles:3 Tag:}",
		"json-file tag=a-{{.Name}} path=logs/c":  "{Driver:json-file Path:/cwd/logs/c MaxSize:0 MaxFiles:0 Tag:a-{{.Name}}}",
		" path=/l max-size=-1":                   "{Driver: Path:/l MaxSize:-1 MaxFiles:0 Tag:}",
		" max-size=0":                            "{Driver: Path: MaxSize:-1 MaxFiles:0 Tag:}",
		"journald tag={{ .ImageID }}{{.FullID}}": "{Driver:journald Path: MaxSize:0 MaxFiles:0 Tag:{{ .ImageID }}{{.FullID}}}",
		"none":                                   "{Driver:none Path: MaxSize:0 MaxFiles:0 Tag:}",
		"passthrough":                            "{Driver:passthrough Path: MaxSize:0 MaxFiles:0 Tag:}",
		"syslog":                                 "error: want k8s-file, json-file, journald, none, passthrough or passthrough-tty",
		" mode=non-blocking":                     `error: unknown option "mode"; want max-size, max-file, path or tag`,
		" max-size":                              "error: want KEY=VALUE",
		" max-size=":                             "error: want KEY=VALUE",
		" max-size=-2":                           "error: want a size such as 10m, or -1 for no limit",
		" max-file=0":                            "error: want a number from 1 to 500",
		" max-file=1000":                         "error: want a number from 1 to 500",
		" max-size=-1 max-file=2":                "error: a log without max-size has one file",
		"journald max-size=1m":                   "error: journald has no such option",
		"none path=/l":                           "error: none has no such option",
		" tag=x":                                 "error: k8s-file keeps no tag; json-file and journald do",
		"json-file tag={{.Colour}}":              `error: unknown field "Colour"; want ID, FullID, Name, ImageID, ImageFullID, ImageName or DaemonName`,
		"json-file tag={{.Name":                  `error: "{{.Name": want fields only, as {{.Name}}`,
		"json-file tag={{upper(.Name)}}{{.ImageID": `error: "{{upper(.Name)}}{{.ImageID": want fields only, as {{.Name}}`,
	} {
		driver, opts, _ := strings.Cut(in, " ")
		args := strings.Split(opts, " ")
		if strings.Contains(in, "{{ ") {
			args = []string{opts}
		} else if opts == "" {
			args = nil
		}
		if got := show(Log(driver, args, "/cwd")); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
