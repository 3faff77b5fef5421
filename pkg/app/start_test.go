package app_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/app"
	"sluice/pkg/natstest"
)

var idle = app.Service{Name: "idle", Run: func(ctx context.Context, env app.Env) error { return env.Run(ctx) }}

func TestEmbeddedServerKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	counts := make(chan uint64, 2)
	keeper := app.Service{Name: "keeper", Run: func(ctx context.Context, env app.Env) error {
		stream, err := env.JetStream.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}})
		if err != nil {
			return err
		}
		if _, err := env.JetStream.Publish(ctx, "kept", nil); err != nil {
			return err
		}
		info, err := stream.Info(ctx)
		if err != nil {
			return err
		}
		counts <- info.State.Msgs
		return env.Run(ctx)
	}}
	for want := range uint64(2) {
		p := launch(t, app.Program{Services: []app.Service{keeper}}, nil, "--data", dir, "--sync", "always")
		p.ready(t)
		if got := <-counts; got != want+1 {
			t.Errorf("start %d: %d messages", want+1, got)
		}
		p.stop()
		if code := p.exit(t); code != 0 || p.stderr.String() != "" {
			t.Fatalf("exit code %d, stderr %q", code, p.stderr)
		}
	}
}

func TestItSaysWhereThingsAre(t *testing.T) {
	t.Parallel()
	mailer := app.Service{Name: "mailer", Run: func(ctx context.Context, env app.Env) error {
		env.Announce("Mail", filepath.Join(env.DataDir, "mail"))
		return env.Run(ctx)
	}}
	dir := t.TempDir()
	p := launch(t, app.Program{Services: []app.Service{mailer}}, nil, "--data", dir)
	said := p.ready(t)
	for _, want := range []string{"Mail  " + dir + "/mail\n", "NATS  nats://127.0.0.1:", "Data  " + dir + "\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q lacks %q", said, want)
		}
	}
	p.stop()
	p.exit(t)
}

func TestSetupSeesTheChosenServicesOnly(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	j := &journal{}
	program := app.Program{
		Services: []app.Service{serviceOf("a", &part{name: "a", journal: j}), serviceOf("b", &part{name: "b", journal: j}), serviceOf("c", &part{name: "c", journal: j})},
		Setup: func(ctx context.Context, js jetstream.JetStream, _ *slog.Logger, what app.Setup) error {
			got <- strings.Join(what.Services, " ")
			_, err := js.AccountInfo(ctx)
			return err
		},
	}
	p := launch(t, program, nil, "c", "--data", t.TempDir(), "a")
	p.ready(t)
	p.stop()
	p.exit(t)
	if services := <-got; services != "a c" {
		t.Errorf("setup got %q", services)
	}
	if j.String() != "+a +c -c -a" {
		t.Errorf("ran %s", j)
	}
}

func TestConnectsToANATSElsewhere(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	dir := filepath.Join(t.TempDir(), "data")
	names := make(chan string, 2)
	svc := app.Service{Name: "order", Run: func(ctx context.Context, env app.Env) error {
		nc, err := env.Connect("endpoints")
		if err != nil {
			return err
		}
		names <- env.NATS.Opts.Name
		names <- nc.Opts.Name
		return env.Run(ctx)
	}}
	p := launch(t, app.Program{Services: []app.Service{svc}}, map[string]string{"NATS_URL": srv.URL()}, "--data", dir)
	if said := p.ready(t); !strings.Contains(said, srv.URL()) {
		t.Errorf("said %q", said)
	}
	if a, b := <-names, <-names; a != "sluice-order-main" || b != "sluice-order-endpoints" {
		t.Errorf("connections %s, %s", a, b)
	}
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder was touched: %v", err)
	}
}

func TestConnectsWithAContextOfTheCLI(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	file := filepath.Join(t.TempDir(), "here.json")
	if err := os.WriteFile(file, []byte(`{"url":"`+srv.URL()+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, app.Program{Services: []app.Service{idle}}, nil, "--context", file, "--data", t.TempDir())
	p.ready(t)
	p.stop()
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// Every bad start is one line and exit code 1.
func TestBadStarts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unreachable := nobody.Addr().String()
	nobody.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	half := t.TempDir() // a folder whose part for streams cannot be made
	if err := os.WriteFile(filepath.Join(half, "nats"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := app.Service{Name: "order", Run: func(context.Context, app.Env) error { return errBroken }}
	silent := app.Service{Name: "order", Run: func(context.Context, app.Env) error { return nil }}

	for name, row := range map[string]struct {
		service app.Service
		setup   func(context.Context, jetstream.JetStream, *slog.Logger, app.Setup) error
		env     map[string]string
		args    []string
		want    string
	}{
		"NATS port taken":       {args: []string{"--nats", taken.Addr().String()}, want: "NATS: listen on " + taken.Addr().String() + ": address already in use"},
		"data folder is a file": {args: []string{"--data", file}, want: "data folder " + file + ": not a directory"},
		"data folder below one": {args: []string{"--data", file + "/data"}, want: "data folder " + file + "/data: not a directory"},
		"streams folder broken": {args: []string{"--data", half}, want: "start the NATS server: "},
		"nobody at NATS_URL":    {env: map[string]string{"NATS_URL": "nats://user:secret@" + unreachable}, want: "connect to NATS at nats://user:xxxxx@" + unreachable + ": "},
		"malformed NATS_URL":    {env: map[string]string{"NATS_URL": "nats://user:secret@%zz"}, want: "connect to NATS at a malformed address: "},
		"no such credentials":   {env: map[string]string{"NATS_CREDS": file + ".creds"}, want: "connect to NATS at nats://127.0.0.1:4222: "},
		"no such context":       {args: []string{"--context", file + ".json"}, want: "connect to NATS at context " + file + ".json: "},
		"unknown service":       {args: []string{"idle", "ordre"}, want: `there is no service "ordre"; there are idle`},
		"unknown flag":          {args: []string{"--nope"}, want: "flag provided but not defined: -nope"},
		"bad sync":              {args: []string{"--sync", "sometimes"}, want: `flag --sync: nats.sync: "sometimes" is not valid: neither always nor a duration such as 2m`},
		"zero sync":             {args: []string{"--sync", "0s"}, want: `flag --sync: nats.sync: "0s" is not valid: neither`},
		"bad log format":        {args: []string{"--log-format", "xml"}, want: `flag --log-format: log.format: "xml" is neither text nor json`},
		"bad HTTP address":      {args: []string{"--http", "8080"}, want: `flag --http: http.address: "8080" is not an address`},
		"bad NATS address":      {args: []string{"--nats", "localhost:nats"}, want: `flag --nats: nats.listen: "localhost:nats" is not an address`},
		"empty data folder":     {args: []string{"--data", ""}, want: "flag --data: data: is empty"},
		"setup fails": {setup: func(context.Context, jetstream.JetStream, *slog.Logger, app.Setup) error {
			return errors.Join(errBroken, errors.New("in two ways"))
		}, want: "broken on purpose; in two ways"},
		"service fails":       {service: broken, want: "order: broken on purpose"},
		"service just ends":   {service: silent, want: "order: ended by itself"},
		"part does not start": {service: serviceOf("gateway", &part{journal: &journal{}, start: func(context.Context) error { return errBroken }}), want: "gateway: broken on purpose"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if row.service.Run == nil {
				row.service = idle
			}
			args := append([]string{"--data", t.TempDir()}, row.args...)
			p := launch(t, app.Program{Services: []app.Service{row.service}, Setup: row.setup}, row.env, args...)
			line := p.fails(t)
			if !strings.HasPrefix(line, "sluice: "+row.want) || strings.Contains(line, "secret") {
				t.Errorf("\n got %s\nwant sluice: %s", line, row.want)
			}
			if p.stdout.String() != "" {
				t.Errorf("stdout: %s", p.stdout)
			}
		})
	}
}

func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says anything
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })
	began := time.Now()
	env := map[string]string{"NATS_URL": "nats://" + mute.Addr().String() + ",nats://" + mute.Addr().String() + "/"}
	p := launch(t, app.Program{Services: []app.Service{idle}}, env)
	p.fails(t)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestDataFolderOfAnotherProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := launch(t, app.Program{Services: []app.Service{idle}}, nil, "--data", dir)
	first.ready(t)
	second := launch(t, app.Program{Services: []app.Service{idle}}, nil, "--data", dir)
	if line := second.fails(t); line != "sluice: data folder "+dir+" is in use by another process" {
		t.Error(line)
	}
	first.stop()
	first.exit(t)
}

func TestUnwritableDataFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lock"), 0o750); err != nil { // whoever runs the test, a folder is not a file to write
		t.Fatal(err)
	}
	p := launch(t, app.Program{Services: []app.Service{idle}}, nil, "--data", dir)
	if line := p.fails(t); line != "sluice: data folder "+dir+" is not writable: is a directory" {
		t.Error(line)
	}
}

func TestNATSWithoutJetStream(t *testing.T) {
	t.Parallel()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not get ready")
	}
	program := app.Program{Services: []app.Service{idle}, Setup: func(ctx context.Context, js jetstream.JetStream, _ *slog.Logger, _ app.Setup) error {
		_, err := js.Stream(ctx, "ORDERS")
		return err
	}}
	p := launch(t, program, map[string]string{"NATS_URL": srv.ClientURL()})
	if line := p.fails(t); line != "sluice: JetStream is not enabled on "+srv.ClientURL()+", or not for this account" {
		t.Error(line)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	p := launch(t, app.Program{Services: []app.Service{idle}}, nil, "-h")
	if code := p.exit(t); code != 0 || p.stderr.String() != "" {
		t.Fatalf("exit code %d, stderr %q", code, p.stderr)
	}
	for _, want := range []string{"usage: sluice", "--http", "--sync", "idle", "NATS_URL"} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("usage lacks %s:\n%s", want, p.stdout)
		}
	}
}
