package userapi_test

import (
	"bufio"
	"bytes"
	"flag"
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
	"sluice/services/user/userapi"
)

var update = flag.Bool("update", false, "write the golden files of events of the current version")

const sampleID = "0193e4c5-0000-7000-8000-00000000000a"

var sampleTime = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)

// samples returns an event of each type, in the order of the registry.
func samples(*testing.T) []event.Data {
	return []event.Data{
		userapi.Created{UserID: sampleID, Username: "Zoë", Email: "zoe@example.com", Timestamp: sampleTime},
		userapi.Changed{UserID: sampleID, Username: "Zoë", Email: "zoe@example.org", Timestamp: sampleTime},
		userapi.Erased{UserID: sampleID, Timestamp: sampleTime},
	}
}

// TestGoldenEvents holds the wire form of every event. A golden file is never
// changed: a change that breaks it needs a new schema version, with a file of its own.
func TestGoldenEvents(t *testing.T) {
	t.Parallel()
	var types []string
	for _, data := range samples(t) {
		e, err := userapi.Events.New(event.WithMetadata(t.Context(), event.Metadata{
			CorrelationID: "0193e4c5-0000-7000-8000-00000000000c", CausationID: "0193e4c5-0000-7000-8000-00000000000d", Fingerprint: "5d41402abc4b2a76",
		}), sampleID, data)
		if err != nil {
			t.Fatal(err)
		}
		e.ID, e.Time, e.Version, e.Step = "0193e4c5-0000-7000-8000-00000000000e", sampleTime, 2, 1
		e.Previous, e.TraceParent = []uint64{7}, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		types = append(types, e.Type)
		file := filepath.Join("testdata", e.Type+"."+e.DataSchema[strings.LastIndexByte(e.DataSchema, '/')+1:]+".golden")
		got := wireForm(e)
		if *update {
			if err := os.WriteFile(file, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is written as\n%s\nits golden file has\n%s", e.Type, got, want)
		}
		read, decoded := readWireForm(t, want)
		if fmt.Sprintf("%+v", read) != fmt.Sprintf("%+v", e) || fmt.Sprintf("%+v", decoded) != fmt.Sprintf("%+v", data) {
			t.Errorf("%s is read as\n%+v %+v\nwant\n%+v %+v", file, read, decoded, e, data)
		}
	}
	if !slices.Equal(types, userapi.Events.Types()) {
		t.Errorf("there are samples of %v, the registry has %v", types, userapi.Events.Types())
	}
	// Events of all versions there ever were are read for ever.
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) < len(types) {
		t.Fatalf("golden files are %v, %v", files, err)
	}
	for _, file := range files {
		written, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		readWireForm(t, written)
	}
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

func readWireForm(t *testing.T, written []byte) (event.Event, event.Data) {
	t.Helper()
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(written)))
	header, err := r.ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.R)
	if err != nil {
		t.Fatal(err)
	}
	e, err := event.Decode(nats.Header(header), bytes.TrimSuffix(body, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	data, err := userapi.Events.Decode(e)
	if err != nil {
		t.Fatal(err)
	}
	return e, data
}
