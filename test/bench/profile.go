package main

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profiled runs do and writes what this process spent its CPU on to file, unless that
// is empty. The peers are in it as well as ourselves, the server is not.
func profiled(file string, do func() error) (err error) {
	if file == "" {
		return do()
	}
	f, err := os.Create(file) //nolint:gosec // G304: whoever runs the program names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return do()
}
