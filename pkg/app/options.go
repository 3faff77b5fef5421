package app

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"sluice/pkg/config"
)

// errHelp says that usage was asked for and printed.
var errHelp = errors.New("help")

// options are what a run of the program was asked for.
type options struct {
	configuration

	command  command
	args     []string       // of the command config
	services []string       // in the program's order
	from     config.Sources // where the configuration comes from
}

func (o *options) setup() Setup {
	return Setup{Services: o.services, Replicas: o.NATS.Replicas, Subjects: o.subjects()}
}

// embeds tells whether the process runs its own NATS server.
func (o *options) embeds() bool {
	return o.NATS.URL == "" && o.NATS.Creds == "" && o.NATS.Context == ""
}

// dialer returns one for the server elsewhere.
func (o *options) dialer(log *slog.Logger) *dialer {
	return &dialer{url: string(o.NATS.URL), creds: o.NATS.Creds, context: o.NATS.Context, log: log}
}

// settingFlags are the flags that are settings.
var settingFlags = []struct{ name, path, usage string }{
	{"http", "http.address", "`address` of the HTTP gateway"},
	{"nats", "nats.listen", "`address` where the embedded NATS server listens"},
	{"data", "data", "`folder` for the embedded server's streams, and for mails"},
	{"sync", "nats.sync", "what an acknowledged event survives: always (a power cut), or an `interval` of syncing to disk; say how a server elsewhere is set"},
	{"log-format", "log.format", "`format` of the log on stderr: text or json"},
	{"context", "nats.context", "`name` of the nats CLI context to connect with, instead of embedding a server"},
	{"ops", "ops.address", "`address` of /healthz, /readyz and /metrics of this process; nobody is asked for a token there"},
	{"replicas", "nats.replicas", "`number` of copies of each stream that is created: 3 on a cluster"},
}

// parseOptions reads the command line and, but for commands that ask for another or none,
// the configuration. After an error of the configuration the rest of the options is there.
func parseOptions(p Program) (options, error) {
	var o options
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	defaults := make(map[string]string)
	for _, s := range config.Settings(p.compose(nil)) {
		defaults[s.Path] = strings.Trim(s.Value, `"`)
	}
	for _, f := range settingFlags {
		flags.String(f.name, defaults[f.path], f.usage)
	}
	var file string
	flags.StringVar(&file, "config", "", "configuration `file`; else $SLUICE_CONFIG, else ./sluice.tsk if it is there")
	flags.StringVar(&o.from.Secrets, "secrets", p.getenv("SLUICE_SECRETS"), "`folder` that @file.read may read in; else $SLUICE_SECRETS, else that of the configuration file")

	names, err := parseInterspersed(flags, p.Args)
	if errors.Is(err, flag.ErrHelp) {
		return options{}, printUsage(p, flags)
	}
	if err != nil {
		return options{}, err
	}
	flags.Visit(func(given *flag.Flag) {
		for _, f := range settingFlags {
			if f.name == given.Name {
				o.from.Flags = append(o.from.Flags, config.FlagValue{Name: f.name, Path: f.path, Value: given.Value.String()})
			}
		}
	})
	o.command, names = commandOf(names)
	if o.command == commandConfig {
		o.args = names
		if len(names) > 0 {
			return o, nil // they say what is read
		}
	}
	if o.services, err = chooseServices(p.Services, names); err != nil {
		return options{}, err
	}
	if o.from.Path, err = config.Find(file, p.getenv); err != nil {
		return options{}, err
	}
	o.configuration, err = p.load(o.from)
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
