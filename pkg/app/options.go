package app

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errHelp says that usage was asked for and printed.
var errHelp = errors.New("help")

type options struct {
	command     command
	http, nats  string // host:port
	ops         string // host:port; empty: nothing listens there
	replicas    int
	dataDir     string
	syncAlways  bool
	sync        time.Duration // when not always; 0 is the server's default
	logFormat   string
	natsURL     string // of a server elsewhere
	natsCreds   string
	natsContext string
	services    []string // in the program's order
	settings    settings
}

// mostReplicas is what NATS allows.
const mostReplicas = 5

func (o *options) setup() Setup { return Setup{Services: o.services, Replicas: o.replicas} }

// embeds tells whether the process runs its own NATS server.
func (o *options) embeds() bool { return o.natsURL == "" && o.natsCreds == "" && o.natsContext == "" }

func parseOptions(p Program) (options, error) {
	var (
		o          options
		sync, file string
	)
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.http, "http", "127.0.0.1:8080", "`address` of the HTTP gateway")
	flags.StringVar(&o.nats, "nats", "127.0.0.1:4222", "`address` where the embedded NATS server listens")
	flags.StringVar(&o.dataDir, "data", "./data", "`folder` for the embedded server's streams, and for mails")
	flags.StringVar(&sync, "sync", "2m", "what an acknowledged event survives: always (a power cut), or an `interval` of syncing to disk; say how a server elsewhere is set")
	flags.StringVar(&o.logFormat, "log-format", "text", "`format` of the log on stderr: text or json")
	flags.StringVar(&o.natsContext, "context", "", "`name` of the nats CLI context to connect with, instead of embedding a server")

	flags.StringVar(&o.ops, "ops", "", "`address` of /healthz, /readyz and /metrics of this process; nobody is asked for a token there")
	flags.IntVar(&o.replicas, "replicas", 1, "`number` of copies of each stream that is created: 3 on a cluster")
	flags.StringVar(&file, "config", "", "configuration `file`; else $SLUICE_CONFIG, else ./sluice.tsk if it is there")

	names, err := parseInterspersed(flags, p.Args)
	if errors.Is(err, flag.ErrHelp) {
		return options{}, printUsage(p, flags)
	}
	if err != nil {
		return options{}, err
	}
	o.command, names = commandOf(names)
	o.natsURL, o.natsCreds = p.Getenv("NATS_URL"), p.Getenv("NATS_CREDS")
	if err := errors.Join(o.setSync(sync), o.check()); err != nil {
		return options{}, err
	}
	if o.services, err = chooseServices(p.Services, names); err != nil {
		return options{}, err
	}
	o.settings, err = loadSettings(p, file)
	return o, err
}

// parseInterspersed accepts flags before, between and after the names of services.
func parseInterspersed(flags *flag.FlagSet, args []string) (names []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return names, nil
		}
		names = append(names, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func (o *options) setSync(s string) error {
	if s == "always" {
		o.syncAlways = true
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("--sync %q is neither always nor a duration such as 2m", s)
	}
	o.sync = d
	return nil
}

func (o *options) check() error {
	if o.logFormat != "text" && o.logFormat != "json" {
		return fmt.Errorf("--log-format %q is neither text nor json", o.logFormat)
	}
	if o.replicas < 1 || o.replicas > mostReplicas {
		return fmt.Errorf("--replicas %d is not from 1 to %d", o.replicas, mostReplicas)
	}
	if o.dataDir == "" {
		return errors.New("--data is empty")
	}
	for _, a := range []struct{ flag, value string }{{"--http", o.http}, {"--nats", o.nats}, {"--ops", cmp.Or(o.ops, o.http)}} {
		if _, _, err := splitAddress(a.value); err != nil {
			return fmt.Errorf("%s %q is not an address such as 127.0.0.1:8080", a.flag, a.value)
		}
	}
	return nil
}

func splitAddress(s string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(number, 10, 16)
	return host, int(n), err
}

// chooseServices returns the names in the program's order; none means all.
func chooseServices(known []Service, names []string) ([]string, error) {
	all := make([]string, len(known))
	for i, s := range known {
		all[i] = s.Name
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no service %q; there are %s", name, strings.Join(all, ", "))
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(s string) bool { return !slices.Contains(names, s) }), nil
}

func printUsage(p Program, flags *flag.FlagSet) error {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s [command] [flags] [service ...]\n\n", p.Name)
	b.WriteString(commandUsage)
	b.WriteString("Without a command it starts the services named, or all of them:")
	for _, s := range p.Services {
		b.WriteString(" " + s.Name)
	}
	b.WriteString("\n\n")
	flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&b, "  --%-20s %s\n", f.Name+" "+value, usage)
	})
	b.WriteString("\nWith NATS_URL or NATS_CREDS in the environment, or with --context, no NATS server\nis embedded.\n")
	if _, err := io.WriteString(p.Stdout, b.String()); err != nil {
		return fmt.Errorf("print usage: %w", err)
	}
	return errHelp
}
