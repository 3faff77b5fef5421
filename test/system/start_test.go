package system_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/test/ledger"
	"sluice/test/program"
)

// The first answer comes within three seconds of the start; what it takes, and the
// memory of an idle process, are printed.
func TestFirstAnswer(t *testing.T) { //nolint:paralleltest // it measures, so nothing else may run
	const starts, most = 5, 3 * time.Second
	data := t.TempDir()
	var ready, written []time.Duration
	for n := range starts {
		folder := data // the first start makes it, the later ones find it
		if n%2 == 1 {
			folder = t.TempDir()
		}
		p := binary.Start(t, nil, "--data", folder)
		api := p.Anybody(t)
		api.Do(t, http.MethodGet, "/readyz", nil).Want(t, http.StatusOK)
		ready = append(ready, time.Since(p.Began))
		api.Do(t, http.MethodPost, "/v1/users", ledger.Registration(fmt.Sprint("first-", n))).Want(t, http.StatusCreated)
		written = append(written, time.Since(p.Began))
		if n == starts-1 {
			after := residentMiB(t, p)
			idle := settledMiB(t, p)
			t.Logf("resident memory: %d MiB after the start and a first request, %d MiB idle", after, idle)
			if idle > 512 {
				t.Errorf("an idle process takes %d MiB", idle)
			}
		}
		p.Stop(t)
		if err := p.Errors(); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(ready)
	slices.Sort(written)
	t.Logf("from start to GET /readyz 200: %v; to POST /v1/users 201: %v", ready, written)
	if median := written[starts/2]; median > most {
		t.Errorf("the first request is answered %s after the start", median)
	}
}

// residentMiB returns how much of the process is in memory, 0 where the system does
// not tell.
func residentMiB(t *testing.T, p *program.Process) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		t.Logf("no figure: %v", err)
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatalf("VmRSS: %v", err)
			}
			return kib >> 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// settledMiB returns the memory once it has stayed the same for a second, or after
// five.
func settledMiB(t *testing.T, p *program.Process) int {
	t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	last, same := residentMiB(t, p), 0
	for range 20 {
		<-tick.C
		now := residentMiB(t, p)
		if same++; now != last {
			same = 0
		}
		if last = now; same == 4 {
			break
		}
	}
	return last
}

// Each bad start is one line on stderr and exit code 1.
func TestBadStarts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mute := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(mute, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mailFolder(mute), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	binary.Start(t, nil, "--data", used)

	for name, row := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"NATS port taken":        {args: []string{"--nats", taken.Addr().String()}, want: "NATS: listen on " + taken.Addr().String() + ": address already in use"},
		"HTTP port taken":        {args: []string{"--http", taken.Addr().String()}, want: "gateway: listen on " + taken.Addr().String() + ": address already in use"},
		"data folder below file": {args: []string{"--data", file + "/data"}, want: "data folder " + file + "/data: not a directory"},
		"data folder in use":     {args: []string{"--data", used}, want: "data folder " + used + " is in use by another process"},
		"mail folder is a file":  {args: []string{"--data", mute}, want: "notification: mail folder"},
		"NATS_URL unreachable":   {env: []string{"NATS_URL=nats://user:secret@127.0.0.1:1"}, want: "connect to NATS at nats://user:xxxxx@127.0.0.1:1: "},
		"NATS_URL is no server":  {env: []string{"NATS_URL=nats://" + taken.Addr().String()}, want: "connect to NATS at nats://" + taken.Addr().String() + ": "},
		"unknown service":        {args: []string{"ordre"}, want: `there is no service "ordre"; there are user, order, notification, deadletter, registry, gateway`},
		"unknown flag":           {args: []string{"--no-such-flag"}, want: "flag provided but not defined: -no-such-flag"},
		"malformed SMTP_URL":     {env: []string{"SMTP_URL=mail.example.com"}, want: "environment SMTP_URL: notification.smtp_url: is not like "},
		"malformed MAIL_FROM":    {env: []string{"MAIL_FROM=nobody"}, want: "environment MAIL_FROM: notification.mail_from: is not an e-mail address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := binary.Launch(t, row.env, append([]string{"--data", t.TempDir()}, row.args...)...)
			if code := p.ExitCode(t); code != 1 {
				t.Errorf("exit code %d", code)
			}
			line := p.Stderr.String()
			if !strings.HasPrefix(line, "sluice: "+row.want) || strings.Count(line, "\n") != 1 || strings.Contains(line, "secret") {
				t.Errorf("\n got %s\nwant sluice: %s", line, row.want)
			}
			if p.Stdout.String() != "" {
				t.Errorf("stdout: %s", p.Stdout.String())
			}
		})
	}
}
