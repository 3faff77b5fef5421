package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/pkg/timeline"
)

// take backs up to a folder that is empty or not there.
func take(ctx context.Context, c cli, folder string, out io.Writer) error {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: a backup goes to a folder of its own", folder)
	}
	present, err := c.names(ctx)
	if err != nil {
		return err
	}
	ours, others, err := sort(present)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	m := manifest{Format: manifestFormat, Taken: time.Now().UTC()}
	for _, name := range ours {
		s, err := c.save(ctx, name, filepath.Join(folder, name))
		if err != nil {
			return fmt.Errorf("%s is not complete and no backup: %w", folder, err)
		}
		m.Streams = append(m.Streams, s)
		fmt.Fprintf(out, "%s: %d messages up to %d\n", s.Name, s.Messages, s.LastSeq)
	}
	if err := m.write(folder); err != nil {
		return err
	}
	if _, err := check(ctx, c, folder); err != nil {
		return err
	}
	for _, name := range others {
		fmt.Fprintf(out, "not backed up, because Sluice does not know it: %s\n", name)
	}
	fmt.Fprintf(out, "%s has all that was acknowledged before %s\n", folder, m.Taken.Format(time.RFC3339))
	return nil
}

// save backs up one stream.
func (c cli) save(ctx context.Context, name, dir string) (saved, error) {
	before, err := c.info(ctx, name)
	if err != nil {
		return saved{}, err
	}
	now, err := timeline.Parse(before.Created, before.Config.Metadata)
	if err != nil {
		return saved{}, fmt.Errorf("stream %s: %w", name, err)
	}
	if _, err := c.run(ctx, "backup", "stream", name, dir, "--no-progress", "--no-consumers"); err != nil {
		return saved{}, err
	}
	s := saved{Name: name, Timeline: now.Metadata()}
	if s.Files, err = digest(dir); err != nil {
		return saved{}, err
	}
	body, err := os.ReadFile(filepath.Join(dir, configName)) //nolint:gosec // G304: a file of the backup
	if err != nil {
		return saved{}, err
	}
	var is snapshot
	if err := json.Unmarshal(body, &is); err != nil {
		return saved{}, fmt.Errorf("stream %s: %s: %w", name, configName, err)
	}
	s.Messages, s.LastSeq = is.State.Messages, is.State.LastSeq
	return s, nil
}
