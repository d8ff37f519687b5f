package transfer_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nook-containers/nook/libpod/volume"
	"github.com/nook-containers/nook/libpod/volume/transfer"
	"github.com/nook-containers/nook/pkg/store/storetest"
	"github.com/nook-containers/nook/pkg/sys"
)

// The tests run in a user namespace, where files can have other owners.
func TestMain(m *testing.M) { storetest.Main(m) }

func create(t *testing.T, s volume.Store, name string) *volume.Volume {
	t.Helper()
	v, err := s.Create(volume.Config{Name: name}, volume.Durable)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestExportImport(t *testing.T) {
	s := volume.Store{Dir: filepath.Join(t.TempDir(), "volumes")}
	from, to := create(t, s, "from"), create(t, s, "to")
	f := filepath.Join(from.Mountpoint(), "f")
	if err := errors.Join(os.WriteFile(f, []byte("data"), 0o640), os.Lchown(f, 7, 8), os.Lchown(from.Mountpoint(), 9, 9)); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := transfer.Export(t.Context(), from, &buf); err != nil {
		t.Fatal(err)
	}
	if err := transfer.Import(t.Context(), to, &buf, func(n string) { t.Error(n) }); err != nil {
		t.Fatal(err)
	}
	d, err := sys.OpenHostDir(to.Mountpoint())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if st, err := d.Lstat("f"); err != nil || st.UID != 7 || st.GID != 8 || st.Mode&0o777 != 0o640 {
		t.Errorf("%+v, %v", st, err)
	}
	if st, err := d.Lstat("."); err != nil || st.UID != 9 || to.Fresh() {
		t.Errorf("%+v, %v, fresh %v", st, err, to.Fresh())
	}
}
