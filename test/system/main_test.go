// Package system_test runs the built binary as a user does: it kills it under load
// and looks whether everything is there, stops it with requests in flight, starts it
// where it cannot start, and splits its services over processes.
package system_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/natstest"
	"sluice/test/program"
)

// binary is the program under test.
var binary program.Binary

// seed repeats the choices of a failed run; 0 draws a new one.
var seed = flag.Uint64("seed", 0, "`number` that a failed run has logged")

func TestMain(m *testing.M) { os.Exit(binary.Test(m)) }

// mailFolder is where a process with this data folder puts its mail.
func mailFolder(data string) string { return filepath.Join(data, "mail") }

// jetStream connects to the process's NATS server.
func jetStream(t *testing.T, p *program.Process) jetstream.JetStream {
	t.Helper()
	return natstest.JetStream(t, natstest.Dial(t, p.Said(t, "NATS")))
}
