package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/pkg/timeline"
)

// configName is the file beside the messages that the nats CLI writes.
const configName = "backup.json"

// snapshot is what that file says.
type snapshot struct {
	Config map[string]jsontext.Value `json:"config"`
	State  struct {
		Messages uint64 `json:"messages"`
		LastSeq  uint64 `json:"last_seq"`
	} `json:"state"`
}

// restore puts a backup back. It touches nothing until it knows that it can.
func restore(ctx context.Context, c cli, folder string, replace bool, out io.Writer) error {
	m, err := check(ctx, c, folder)
	if err != nil {
		return err
	}
	running, err := c.running(ctx)
	if err != nil {
		return err
	}
	if len(running) > 0 {
		return fmt.Errorf("services run on this server and would go on with what they remember: stop %s first", strings.Join(running, ", "))
	}
	present, err := c.names(ctx)
	if err != nil {
		return err
	}
	lost, err := c.inTheWay(ctx, m, present)
	if err != nil {
		return err
	}
	if len(lost) > 0 && !replace {
		return fmt.Errorf("nothing was changed: the server has\n  %s\n-replace deletes that, and puts the backup of %s in its place",
			strings.Join(lost, "\n  "), m.Taken.Format(time.RFC3339))
	}
	for _, line := range lost {
		fmt.Fprintf(out, "deleting %s\n", line)
	}
	at := time.Now().UTC()
	for _, s := range m.Streams {
		if slices.Contains(present, s.Name) {
			if _, err := c.run(ctx, "stream", "rm", s.Name, "--force"); err != nil {
				return err
			}
		}
		if err := c.putBack(ctx, s, filepath.Join(folder, s.Name), at); err != nil {
			return fmt.Errorf("the restore is not complete; repeat it with -replace: %w", err)
		}
		fmt.Fprintf(out, "%s: %d messages up to %d\n", s.Name, s.Messages, s.LastSeq)
	}
	for _, name := range remembered {
		if !slices.Contains(present, name) {
			continue
		}
		if _, err := c.run(ctx, "stream", "rm", name, "--force"); err != nil {
			return fmt.Errorf("the restore is not complete; repeat it with -replace: %w", err)
		}
	}
	fmt.Fprintf(out, "the server has what it had at %s; now have the streams set up, start the services, and rebuild each read model that svc.<service>.projection shows as parked\n",
		m.Taken.Format(time.RFC3339))
	return nil
}

// inTheWay says what the restore would delete. Keys and schemas are those of whoever is
// connected, such as a gateway, and come back by themselves.
func (c cli) inTheWay(ctx context.Context, m manifest, present []string) ([]string, error) {
	var lost []string
	for _, s := range m.Streams {
		if !slices.Contains(present, s.Name) || s.Name == keysBucket || s.Name == schemasBucket {
			continue
		}
		has, err := c.info(ctx, s.Name)
		if err != nil {
			return nil, err
		}
		if has.State.LastSeq > 0 {
			lost = append(lost, fmt.Sprintf("%s: %d messages up to %d, the last of %s; the backup has %d up to %d",
				s.Name, has.State.Messages, has.State.LastSeq, has.State.LastTime.UTC().Format(time.RFC3339), s.Messages, s.LastSeq))
		}
	}
	return lost, nil
}

// putBack restores one stream. What keeps positions in it learns from its timeline
// that it was restored.
func (c cli) putBack(ctx context.Context, s saved, dir string, at time.Time) error {
	args := []string{"backup", "restore", "stream", dir, "--no-progress"}
	if !isBucket(s.Name) {
		config, err := forked(s, dir, at)
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.Name, err)
		}
		defer func() { _ = os.Remove(config) }() // a few bytes of the system's temporary folder
		args = append(args, "--config", config)
	}
	if _, err := c.run(ctx, args...); err != nil {
		return err
	}
	has, err := c.info(ctx, s.Name)
	if err != nil {
		return err
	}
	if has.State.LastSeq != s.LastSeq || has.State.Messages != s.Messages && slices.Contains(unchanging, s.Name) {
		return fmt.Errorf("stream %s was restored to %d messages up to %d instead of %d up to %d",
			s.Name, has.State.Messages, has.State.LastSeq, s.Messages, s.LastSeq)
	}
	return nil
}

// forked writes the configuration of a stream in the timeline that begins now, and
// returns the file's name.
func forked(s saved, dir string, at time.Time) (name string, err error) {
	body, err := os.ReadFile(filepath.Join(dir, configName)) //nolint:gosec // G304: a file of the backup
	if err != nil {
		return "", err
	}
	var is snapshot
	if err := json.Unmarshal(body, &is); err != nil {
		return "", fmt.Errorf("%s: %w", configName, err)
	}
	metadata := make(map[string]string)
	if old, ok := is.Config["metadata"]; ok {
		if err := json.Unmarshal(old, &metadata); err != nil {
			return "", fmt.Errorf("%s: metadata: %w", configName, err)
		}
	}
	was, err := timeline.Parse(time.Time{}, map[string]string{timeline.MetadataKey: s.Timeline})
	if err != nil {
		return "", err
	}
	metadata[timeline.MetadataKey] = was.Fork(s.LastSeq, at).Metadata()
	if is.Config["metadata"], err = json.Marshal(metadata, json.Deterministic(true)); err != nil {
		return "", err
	}
	if body, err = json.Marshal(is.Config, json.Deterministic(true)); err != nil {
		return "", err
	}
	file, err := os.CreateTemp("", "sluice-restore-*.json")
	if err != nil {
		return "", err
	}
	_, err = file.Write(body)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return file.Name(), err
}

// running returns the names of the services that answer, but for gateways, which
// remember nothing of the streams that a restart of their clients does not undo.
func (c cli) running(ctx context.Context) ([]string, error) {
	out, err := c.run(ctx, "req", "$SRV.PING", "", "--replies", "0", "--raw", "--timeout", "2s")
	if err != nil {
		if strings.Contains(err.Error(), "no responders") {
			return nil, nil
		}
		return nil, err
	}
	var names []string
	decoder := jsontext.NewDecoder(strings.NewReader(string(out)))
	for {
		var answer struct {
			Name string `json:"name"`
		}
		if decoder.PeekKind() == 0 {
			break
		}
		if err := json.UnmarshalDecode(decoder, &answer); err != nil {
			return nil, fmt.Errorf("read who answers: %w", err)
		}
		if answer.Name != "gateway" && !slices.Contains(names, answer.Name) {
			names = append(names, answer.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}
