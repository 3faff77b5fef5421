package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// manifestName is the file that makes a folder a backup. It is written last.
const manifestName = "manifest.json"

// manifestFormat is what this program writes, and all that it reads.
const manifestFormat = 1

// manifest says what is in a backup.
type manifest struct {
	Format  int       `json:"format"`
	Taken   time.Time `json:"taken"` // when it began; all that was acknowledged before is in it
	Streams []saved   `json:"streams"`
}

// saved is one stream of a backup, in the folder of its name.
type saved struct {
	Name     string            `json:"name"`
	Timeline string            `json:"timeline"` // see package timeline
	Messages uint64            `json:"messages"`
	LastSeq  uint64            `json:"last_seq"`
	Files    map[string]string `json:"files"` // SHA-256 by name
}

// write makes the folder a backup.
func (m manifest) write(folder string) error {
	body, err := json.Marshal(m, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	part := filepath.Join(folder, manifestName+".part")
	if err := os.WriteFile(part, append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return os.Rename(part, filepath.Join(folder, manifestName))
}

// check returns the manifest of a backup that is whole: every file is there and as it
// was written, and the nats CLI finds each stream restorable.
func check(ctx context.Context, c cli, folder string) (manifest, error) {
	fail := func(err error) (manifest, error) {
		return manifest{}, fmt.Errorf("%s is no whole backup: %w", folder, err)
	}
	body, err := os.ReadFile(filepath.Join(folder, manifestName)) //nolint:gosec // G304: the operator's folder
	if errors.Is(err, fs.ErrNotExist) {
		return fail(errors.New("it has no " + manifestName + ", which is written when everything else is"))
	}
	if err != nil {
		return fail(err)
	}
	var m manifest
	if err := json.Unmarshal(body, &m, json.RejectUnknownMembers(true)); err != nil {
		return fail(fmt.Errorf("%s: %w", manifestName, err))
	}
	if m.Format != manifestFormat {
		return fail(fmt.Errorf("it is of format %d, and this program reads %d", m.Format, manifestFormat))
	}
	if len(m.Streams) == 0 {
		return fail(errors.New("it has no streams"))
	}
	local := cli{command: c.command} // it needs no server
	for _, s := range m.Streams {
		if !slices.Contains(kept, s.Name) {
			return fail(fmt.Errorf("stream %q is none that is backed up", s.Name))
		}
		dir := filepath.Join(folder, s.Name)
		sums, err := digest(dir)
		if err != nil {
			return fail(err)
		}
		for name, sum := range s.Files {
			if sums[name] != sum {
				return fail(fmt.Errorf("stream %s: %s is not as it was written", s.Name, name))
			}
		}
		if len(s.Files) == 0 || len(sums) != len(s.Files) {
			return fail(fmt.Errorf("stream %s: it has %d files, and had %d", s.Name, len(sums), len(s.Files)))
		}
		if _, err := local.run(ctx, "backup", "validate", dir, "--no-progress"); err != nil {
			return fail(fmt.Errorf("stream %s: %w", s.Name, err))
		}
	}
	return m, nil
}

// digest returns the SHA-256 of each file in a folder.
func digest(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]string, len(entries))
	for _, e := range entries {
		sum, err := digestFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		sums[e.Name()] = sum
	}
	return sums, nil
}

func digestFile(name string) (sum string, err error) {
	file, err := os.Open(name) //nolint:gosec // G304: a file of the backup
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
