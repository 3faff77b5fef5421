package eventtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/event"
)

const wireSuffix = ".golden"

// SampleID is the aggregate that samples for [CheckEvents] belong to, unless their data
// names another.
const SampleID = "0193e4c5-0000-7000-8000-00000000000a"

// SampleTime returns the time at which everything in a golden file happens.
func SampleTime() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC) }

// CheckEvents compares the wire form of samples, one of each type of the registry in
// its order, with the golden files in folder dir, and decodes every golden file there
// ever was. A golden file is never changed: a change that breaks it needs a new schema
// version, with a file of its own.
func CheckEvents(t testing.TB, registry *event.Registry, dir string, samples ...event.Data) {
	t.Helper()
	var types []string
	for _, data := range samples {
		e := sample(t, registry, data)
		types = append(types, e.Type)
		file := wireFile(dir, e)
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s has no golden event (run the test with -update): %v", e.Type, err)
			continue
		}
		if got := wireForm(e); !bytes.Equal(got, want) {
			t.Errorf("%s is written as\n%s\nits golden file has\n%s", e.Type, got, want)
		}
		read, decoded := readWireForm(t, registry, file)
		if fmt.Sprintf("%+v", read) != fmt.Sprintf("%+v", e) || fmt.Sprintf("%+v", decoded) != fmt.Sprintf("%+v", data) {
			t.Errorf("%s is read as\n%+v %+v\nwant\n%+v %+v", file, read, decoded, e, data)
		}
	}
	if !slices.Equal(types, registry.Types()) {
		t.Errorf("there are samples of %v, the registry has %v", types, registry.Types())
	}
	files, err := filepath.Glob(filepath.Join(dir, registry.Entity()+".*"+wireSuffix))
	if err != nil || len(files) < len(types) {
		t.Fatalf("golden files are %v, %v", files, err)
	}
	for _, file := range files {
		readWireForm(t, registry, file)
	}
}

// WriteEvents writes the golden files of samples that are absent.
func WriteEvents(t testing.TB, registry *event.Registry, dir string, samples ...event.Data) {
	t.Helper()
	for _, data := range samples {
		e := sample(t, registry, data)
		file := wireFile(dir, e)
		if _, err := os.Stat(file); err == nil {
			continue
		}
		if err := os.WriteFile(file, wireForm(e), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// sample returns an event with every attribute that history has.
func sample(t testing.TB, registry *event.Registry, data event.Data) event.Event {
	t.Helper()
	id := SampleID
	if named, ok := data.(event.Identified); ok {
		id = named.AggregateID()
	}
	e, err := registry.New(event.WithMetadata(t.Context(), event.Metadata{
		CorrelationID: "0193e4c5-0000-7000-8000-00000000000c", CausationID: "0193e4c5-0000-7000-8000-00000000000d", Fingerprint: "5d41402abc4b2a76",
	}), id, data)
	if err != nil {
		t.Fatal(err)
	}
	e.ID, e.Time, e.Version, e.Step = "0193e4c5-0000-7000-8000-00000000000e", SampleTime(), 2, 1
	e.Previous, e.TraceParent = []uint64{7}, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	return e
}

func wireFile(dir string, e event.Event) string {
	return filepath.Join(dir, e.Type+"."+e.DataSchema[strings.LastIndexByte(e.DataSchema, '/')+1:]+wireSuffix)
}

// wireForm returns the header lines of e, sorted, and the body.
func wireForm(e event.Event) []byte {
	header, body := event.Encode(e)
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, header[name][0])
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	return b.Bytes()
}

func readWireForm(t testing.TB, registry *event.Registry, file string) (event.Event, event.Data) {
	t.Helper()
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(written)))
	header, err := r.ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	body, err := io.ReadAll(r.R)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	e, err := event.Decode(nats.Header(header), bytes.TrimSuffix(body, []byte("\n")))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	data, err := registry.Decode(e)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return e, data
}
