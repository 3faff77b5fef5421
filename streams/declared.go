package streams

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/nats-io/nats.go/jetstream"
)

//go:embed */*.json
var files embed.FS

const (
	platform       = "platform" // owns what every service needs
	consumerSuffix = ".consumer.json"
)

// reads names the histories that an owner's read models and consumers follow
// although another owns them.
var reads = map[string][]string{
	"order":        {"user/USERS.json"},
	"notification": {"user/USERS.json", "order/ORDERS.json", "registry/ALERTS.json"},
}

// Consumer is one durable consumer and the stream it reads.
type Consumer struct {
	Stream string
	Config jetstream.ConsumerConfig
}

// Set is what some owners need on a server.
type Set struct {
	Streams   []jetstream.StreamConfig // theirs: compared and kept in line
	Foreign   []jetstream.StreamConfig // histories of others that they read: created when absent, otherwise left to their owner
	Consumers []Consumer
}

// Load reads the embedded files of the owners, and those of the platform, which
// every owner needs. An owner without a folder has nothing of its own: that is no
// error.
func Load(owners ...string) (Set, error) {
	var set Set
	owners = slices.Compact(slices.Sorted(slices.Values(append([]string{platform}, owners...))))
	for _, owner := range owners {
		names, err := fs.Glob(files, owner+"/*.json")
		if err != nil {
			return Set{}, fmt.Errorf("list the stream files of %s: %w", owner, err)
		}
		for _, name := range names {
			if err := add(&set, name); err != nil {
				return Set{}, err
			}
		}
	}
	for _, owner := range owners {
		for _, name := range reads[owner] {
			if slices.Contains(owners, path.Dir(name)) {
				continue
			}
			config, err := decode[jetstream.StreamConfig](name)
			if err != nil {
				return Set{}, err
			}
			set.Foreign = append(set.Foreign, config)
		}
	}
	return set, nil
}

func add(s *Set, name string) error {
	if !strings.HasSuffix(name, consumerSuffix) {
		config, err := decode[jetstream.StreamConfig](name)
		if err != nil {
			return err
		}
		s.Streams = append(s.Streams, config)
		return nil
	}
	config, err := decode[jetstream.ConsumerConfig](name)
	if err != nil {
		return err
	}
	stream, _, _ := strings.Cut(path.Base(name), ".")
	s.Consumers = append(s.Consumers, Consumer{Stream: stream, Config: config})
	return nil
}

func decode[T any](name string) (T, error) {
	var config T
	content, err := files.ReadFile(name)
	if err != nil {
		return config, fmt.Errorf("read stream file %s: %w", name, err)
	}
	if err := json.Unmarshal(content, &config, wire, json.RejectUnknownMembers(true)); err != nil {
		return config, fmt.Errorf("stream file %s: %w", name, err)
	}
	return config, nil
}

// wire is how NATS writes a configuration: durations in nanoseconds.
var wire = json.JoinOptions(jsonv1.FormatDurationAsNano(true), json.Deterministic(true))
