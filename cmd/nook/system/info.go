package system

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nook-containers/nook/cmd/nook/cmdutil"
	"github.com/nook-containers/nook/libpod/container"
	"github.com/nook-containers/nook/libpod/state"
	"github.com/nook-containers/nook/pkg/config"
	"github.com/nook-containers/nook/pkg/config/regconf"
	"github.com/nook-containers/nook/pkg/doctor"
	"github.com/nook-containers/nook/pkg/logs"
	"github.com/nook-containers/nook/pkg/store"
	"github.com/nook-containers/nook/pkg/sys"
	"github.com/nook-containers/nook/userns"
)

func newInfo(f *cmdutil.Factory) *cobra.Command {
	var format string
	var inside bool
	cmd := &cobra.Command{
		Use:   "info [flags]",
		Short: "Show what nook is, and where and on what it works",
		Long: `Show what nook is, and where and on what it works: the host, the store, the registries.
Templates find podman's fields (.Host.CgroupsVersion, .Store.GraphRoot) and
docker's (.ServerVersion, .CgroupDriver). What is broken does not keep the rest from
being shown; .Warnings tells of it, and nook doctor what to do.

Exit status: 0, or 125 if the format is wrong.`,
		Example: "  nook info\n  nook info --format '{{.Host.Security.Rootless}} {{.Driver}}'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if inside {
				return infoInside(f)
			}
			if format = strings.TrimSpace(format); format != "" {
				if err := cmdutil.CheckFormat(format, cmdutil.List[*info]{}); err != nil {
					return err
				}
			}
			i, err := gatherInfo(cmd.Context(), f)
			if err != nil {
				return err
			}
			if format != "" {
				return cmdutil.RenderObject(f.Out, format, i)
			}
			var b bytes.Buffer
			tree, err := asTree(i)
			if err != nil {
				return err
			}
			writeTree(&b, tree, "")
			_, err = f.Out.Write(b.Bytes())
			return err
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", `"json", or a Go template`)
	cmd.Flags().BoolVar(&inside, "inside", false, "show what only nook's namespace tells, as JSON")
	cmd.Flags().Lookup("inside").Hidden = true
	return cmd
}

// gatherInfo fills in everything that can be found out. What cannot is a warning.
func gatherInfo(ctx context.Context, f *cmdutil.Factory) (*info, error) {
	p, err := f.Paths()
	if err != nil {
		return nil, err
	}
	root, runRoot, err := f.StoreDirs()
	if err != nil {
		return nil, err
	}
	h := &doctor.Host{Env: f.Environ, UID: config.HostUID(), Data: p.Data, Run: p.Run}
	i := &info{
		Host:    hostOf(h),
		Store:   storeInfo{GraphRoot: root, RunRoot: runRoot, GraphOptions: map[string]string{}, GraphStatus: map[string]string{}, ImageCopyTmpDir: root},
		Plugins: pluginInfo{Volume: []string{"local"}, Network: []string{"host", "none"}, Log: logs.Drivers(), Authorization: []string{}},
		Version: versionDetail{f.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, runtime.GOOS},
	}
	for _, check := range checks() {
		for _, r := range check(h) {
			if r.Level == doctor.Problem {
				i.Warnings = append(i.Warnings, r.Check+": "+r.Found)
			}
		}
	}
	i.Host.OCIRuntime = program{Name: "nook", Version: f.Version}
	if exe, err := os.Executable(); err == nil {
		i.Host.OCIRuntime.Path = exe
	}
	if path := f.Globals.Runtime; path != "" {
		i.Host.OCIRuntime = program{Name: filepath.Base(path), Path: path}
	}
	i.Host.IDMappings = i.idMappings(f.Environ)
	i.registries()
	i.containers(f)
	i.storage(ctx, f, h)
	i.forDocker(h, f)
	return i, nil
}

func (i *info) warn(what string, err error) {
	i.Warnings = append(i.Warnings, fmt.Sprintf("%s: %v", what, err))
}

// idMappings is the map that the user's namespace gets.
func (i *info) idMappings(env []string) (m idMappings) {
	facts, err := userns.Host{Env: env}.Collect()
	if err != nil {
		i.warn("user namespace", err)
		return m
	}
	plan, err := userns.PlanMap(facts.Identity, facts.SubIDs)
	if err != nil {
		return m // which the checks have told
	}
	for _, e := range plan.UIDs {
		m.UIDMap = append(m.UIDMap, idMapping{e.Inside, e.Outside, e.Size})
	}
	for _, e := range plan.GIDs {
		m.GIDMap = append(m.GIDMap, idMapping{e.Inside, e.Outside, e.Size})
	}
	return m
}

func (i *info) registries() {
	i.Registries = map[string]any{}
	r, err := regconf.LoadRegistries()
	if err != nil {
		return // which the checks have told
	}
	search := r.Search
	if len(search) == 0 {
		search = []string{"docker.io"}
	}
	i.Registries["search"] = search
	for _, one := range r.Registries {
		i.Registries[one.Prefix] = one
	}
}

func (i *info) containers(f *cmdutil.Factory) {
	st, err := f.State()
	if err != nil {
		i.warn("containers", err)
		return
	}
	i.Store.VolumePath = filepath.Join(st.Dir, "volumes")
	list, errs := container.List(st)
	for _, err := range errs {
		i.warn("containers", err)
	}
	n := &i.Store.ContainerStore
	for _, l := range list {
		n.Number++
		switch l.Word {
		case state.Running:
			n.Running++
		case state.Paused:
			n.Paused++
		default:
			n.Stopped++
		}
	}
}

// insideInfo is what only nook's namespace tells.
type insideInfo struct {
	Driver string
	Images int
	Error  string
}

func infoInside(f *cmdutil.Factory) error {
	var in insideInfo
	s, err := f.OpenStore()
	if err == nil {
		defer s.Close()
		in.Driver = s.Driver()
		var images []store.Image
		images, err = s.Images()
		in.Images = len(images)
	}
	if err != nil {
		in.Error = err.Error()
	}
	return json.NewEncoder(f.Out).Encode(in)
}

// storage fills in the store.
func (i *info) storage(ctx context.Context, f *cmdutil.Factory, h *doctor.Host) {
	if d, err := sys.DiskOf(h.Nearest(i.Store.GraphRoot)); err == nil {
		i.Store.GraphRootAllocated, i.Store.GraphRootUsed = d.Bytes, d.Used
		i.Store.GraphStatus["Backing Filesystem"] = d.Name
	}
	var in insideInfo
	if err := askInside(ctx, f, &in, "info", "--inside"); err != nil {
		i.warn("store", err)
	} else if in.Error != "" {
		i.warn("store", fmt.Errorf("%s", in.Error))
	}
	i.Store.GraphDriverName, i.Store.ImageStore.Number = in.Driver, in.Images
	for _, o := range f.Globals.StorageOpts {
		k, v, _ := strings.Cut(o, "=")
		i.Store.GraphOptions[k] = v
	}
}
