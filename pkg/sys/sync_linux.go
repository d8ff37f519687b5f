package sys

import (
	"errors"
	"os"
)

// SyncDir makes the names in dir durable (fsync(2), "NOTES").
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
