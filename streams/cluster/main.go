// Command cluster writes what a cluster of NATS servers for Sluice needs, and what
// connects to it: certificates, one NKey for each service, the permissions of each, and
// the configuration of every node.
//
//	go run ./streams/cluster -dir cluster
//
// The folder then holds
//
//	ca.pem                      the authority that signed everything below
//	authority/ca.key            its key; keep it elsewhere
//	<node>/nats.conf            a node, with its certificate and key beside it
//	<node>/accounts.conf        who may do what; the same for every node
//	<user>/context.json         how a service connects, which is a context of the nats CLI too
//	<user>/user.nk              its seed, and the authority's certificate beside it
//
// The users are each service, admin, who may do everything in the account, outsider, who
// may publish to the intakes, watch live copies and call endpoints, and system, for the
// server's own account.
//
// In containers, -mount says where each of them finds its own folder, and -stores gives the
// nodes, which are not root, the volumes for their streams.
//
// A folder that has keys already is not touched: they are not replaced by accident.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(args []string, stderr io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.dir, "dir", "cluster", "where to write")
	flags.BoolVar(&s.keep, "keep", false, "when there are keys already, leave them alone and succeed")
	nodes := flags.String("nodes", "nats-1,nats-2,nats-3", "host names of the nodes, as their clients know them")
	routes := flags.String("routes", "", "host names of the nodes as they know each other, where they have a network of their own; default: the same")
	services := flags.String("services", "user,order,notification,deadletter,registry,gateway", "the services that connect")
	flags.StringVar(&s.sync, "sync", "always", "when a node syncs what it acknowledged to disk: always, or a time such as 2m")
	flags.StringVar(&s.mount, "mount", "", "where each node and each client finds its own folder, as in a container; default: where it is written")
	flags.StringVar(&s.store, "store", "/data", "where each node keeps its streams")
	flags.StringVar(&s.stores, "stores", "", "a folder with one folder for the streams of each node, made and given to -owner; default: none")
	flags.IntVar(&s.owner, "owner", -1, "the id of the user and the group of a node's process, for -stores")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	s.nodes, s.services = strings.Split(*nodes, ","), strings.Split(*services, ",")
	s.routes = s.nodes
	if *routes != "" {
		s.routes = strings.Split(*routes, ",")
	}
	return write(s)
}
