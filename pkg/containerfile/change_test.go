package containerfile_test

import (
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/nook-containers/nook/pkg/containerfile"
)

func TestChange(t *testing.T) {
	for _, tc := range []struct{ changes, want string }{
		{`CMD ["a","b c"]`, `{"Cmd":["a","b c"]}`},
		{`cmd echo "$HOME"`, `{"Cmd":["/bin/sh","-c","echo \"$HOME\""]}`},
		{`CMD=/bin/bash`, `{"Cmd":["/bin/sh","-c","/bin/bash"]}`},
		{"CMD [\"a\"]|CMD []", "{}"},
		{`ENTRYPOINT ["/e"]`, `{"Entrypoint":["/e"]}`},
		{"ENV A=1 B=\"two words\" C=x\\ y D='$E'|ENV A=2", `{"Env":["B=two words","C=x y","D=$E","A=2"]}`},
		{"ENV KEY all the rest", `{"Env":["KEY=all the rest"]}`},
		{`LABEL a=b "c d"="e f"`, `{"Labels":{"a":"b","c d":"e f"}}`},
		{"EXPOSE 80 53/udp 8000-8001/tcp", `{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}}}`},
		{"ONBUILD RUN x|ONBUILD COPY . /", `{"OnBuild":["RUN x","COPY . /"]}`},
		{"STOPSIGNAL SIGINT", `{"StopSignal":"SIGINT"}`},
		{"USER web:web", `{"User":"web:web"}`},
		{`VOLUME ["/a b"]|VOLUME /c /d`, `{"Volumes":{"/a b":{},"/c":{},"/d":{}}}`},
		{"WORKDIR /a|WORKDIR b/../c", `{"WorkingDir":"/a/c"}`},
		{"HEALTHCHECK NONE", `{"Healthcheck":{"Test":["NONE"]}}`},
		{"HEALTHCHECK --interval=5s --timeout=1m --start-period=2s --retries=4 CMD curl x", `{"Healthcheck":{"Test":["CMD-SHELL","curl x"],"Interval":5000000000,"Timeout":60000000000,"StartPeriod":2000000000,"Retries":4}}`},
		{`HEALTHCHECK CMD ["a"]`, `{"Healthcheck":{"Test":["CMD","a"]}}`},
	} {
		var c v1.Config
		var err error
		for change := range strings.SplitSeq(tc.changes, "|") {
			if e := containerfile.Change(&c, change); e != nil {
				err = e
			}
		}
		if err != nil {
			t.Errorf("%s: %v", tc.changes, err)
			continue
		}
		got, _ := json.Marshal(c)
		if string(got) != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.changes, got, tc.want)
		}
	}
}

func TestChangeRefuses(t *testing.T) {
	for _, bad := range []string{
		"", "CMD", "CMD ", "RUN x", "FROM y", "ENV", "ENV A", "ENV A=1 B", "ENV =1", `ENV A="x`, `LABEL "a=b`,
		"EXPOSE 0", "EXPOSE 70000", "EXPOSE 5-4", "EXPOSE 80/xyz", "EXPOSE http", `VOLUME [""]`,
		"HEALTHCHECK", "HEALTHCHECK CMD", "HEALTHCHECK NONE x", "HEALTHCHECK --interval=x CMD a", "HEALTHCHECK --foo=1 CMD a", "HEALTHCHECK curl",
		"USER a\x00b",
	} {
		var c v1.Config
		if err := containerfile.Change(&c, bad); err == nil {
			t.Errorf("%q was taken: %+v", bad, c)
		}
	}
}

func FuzzChange(f *testing.F) {
	for _, s := range []string{`CMD ["a"]`, "ENV a=b c='d'", "EXPOSE 1-9/udp", "HEALTHCHECK --retries=1 CMD x", `LABEL "a b"=c\ d`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var c v1.Config
		if err := containerfile.Change(&c, line); err != nil {
			return
		}
		for _, e := range c.Env {
			if i := strings.IndexByte(e, '='); i <= 0 {
				t.Errorf("%q sets the variable %q", line, e)
			}
		}
		if c.WorkingDir != "" && c.WorkingDir[0] != '/' {
			t.Errorf("%q sets the directory %q", line, c.WorkingDir)
		}
	})
}
