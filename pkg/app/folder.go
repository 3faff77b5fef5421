package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is the data folder while this process owns it. The kernel drops the lock
// when the process dies, however it dies.
type folder struct{ lock *os.File }

// openFolder makes the folder where it does not exist and locks it.
func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", dir, reason(err))
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // G304: which folder it is, is the operator's choice
	if err != nil {
		return nil, fmt.Errorf("data folder %s is not writable: %w", dir, reason(err))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err := fmt.Errorf("data folder %s: lock: %w", dir, err)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("data folder %s is in use by another process", dir)
		}
		return nil, errors.Join(err, lock.Close())
	}
	return &folder{lock: lock}, nil
}

func (f *folder) close() error {
	if err := f.lock.Close(); err != nil {
		return fmt.Errorf("release the data folder: %w", err)
	}
	return nil
}

// reason is the cause without the path, which the message names already.
func reason(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}
