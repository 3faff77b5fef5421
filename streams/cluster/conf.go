package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"

	"sluice/streams"
)

// user is somebody who connects to the cluster, known by an NKey.
type user struct {
	name, inbox  string
	seed, public []byte
	system       bool
	permissions  *streams.Permissions // nil: everything in the account
}

func newUsers(services []string) ([]user, error) {
	var users []user
	for _, service := range services {
		p, err := streams.PermissionsOf(service)
		if err != nil {
			return nil, err
		}
		users = append(users, user{name: service, permissions: &p})
	}
	outsider, err := streams.Outsider()
	if err != nil {
		return nil, err
	}
	users = append(users, user{name: "admin"}, user{name: "outsider", permissions: &outsider}, user{name: "system", system: true})
	for i := range users {
		u := &users[i]
		pair, err := nkeys.CreateUser()
		if err != nil {
			return nil, fmt.Errorf("make the key of %s: %w", u.name, err)
		}
		if u.seed, err = pair.Seed(); err != nil {
			return nil, fmt.Errorf("make the key of %s: %w", u.name, err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("make the key of %s: %w", u.name, err)
		}
		u.public = []byte(public)
		if u.permissions != nil && u.name != "outsider" {
			u.inbox = "_INBOX_" + u.name
		}
	}
	return users, nil
}

// accountsConf is who may do what, as nats-server reads it.
func accountsConf(users []user) []byte {
	var b bytes.Buffer
	b.WriteString("# Made by streams/cluster. Every service may do what it declares and nothing else.\nsystem_account: SYS\naccounts {\n")
	for _, account := range []string{"SLUICE", "SYS"} {
		system := account == "SYS"
		fmt.Fprintf(&b, "  %s {\n", account)
		if !system {
			b.WriteString("    jetstream: enabled\n")
		}
		b.WriteString("    users: [\n")
		for _, u := range users {
			if u.system != system {
				continue
			}
			fmt.Fprintf(&b, "      # %s\n      { nkey: %s", u.name, u.public)
			if p := u.permissions; p != nil {
				b.WriteString(", permissions: {\n")
				fmt.Fprintf(&b, "        publish: { allow: %s, deny: %s }\n", list(p.Publish), list(p.Deny))
				fmt.Fprintf(&b, "        subscribe: { allow: %s }\n", list(p.Subscribe))
				b.WriteString("        allow_responses: { max: -1, expires: \"2m\" }\n      }")
			}
			b.WriteString(" }\n")
		}
		b.WriteString("    ]\n  }\n")
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func list(subjects []string) string {
	quoted := make([]string, len(subjects))
	for i, s := range subjects {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// nodeConf is the configuration of the node with an index. Clients and other nodes are
// told names, since those are what its certificate is for.
func nodeConf(s settings, index int) []byte {
	node := s.nodes[index]
	var routes []string
	for _, other := range s.routes {
		routes = append(routes, "tls://"+other+":6222")
	}
	place := s.place(node)
	tls := func(extra string) string {
		return fmt.Sprintf("{ cert_file: %q, key_file: %q, ca_file: %q%s }",
			place+"/node.pem", place+"/node.key", place+"/ca.pem", extra)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Made by streams/cluster.
server_name: %q
listen: "0.0.0.0:4222"
client_advertise: "%s:4222"
http: "0.0.0.0:8222"        # /healthz for whoever runs it; publish it to nobody
max_payload: 1MB
lame_duck_duration: "30s"
lame_duck_grace_period: "5s"

# When an acknowledged message reaches the disk. With always it survives a power cut of
# all nodes at once, as when they share a host; each write then waits for the disk. With a time such as 2m
# it survives the loss of a minority of the nodes at any moment.
jetstream: { store_dir: %q, sync_interval: %q, max_memory_store: 256MB }

tls: %s
`, node, node, s.store, s.sync, tls(""))
	if len(s.nodes) > 1 {
		fmt.Fprintf(&b, "cluster: { name: sluice, listen: \"0.0.0.0:6222\", advertise: \"%s:6222\", routes: %s, tls: %s }\n",
			s.routes[index], list(routes), tls(", verify: true"))
	}
	b.WriteString("\ninclude accounts.conf\n")
	return b.Bytes()
}
