package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// settings are what the command line says.
type settings struct {
	dir             string
	nodes, services []string
	routes          []string // the nodes, as they know each other
	sync            string
	keep            bool // what is there already
	mount, store    string
	stores          string // of all nodes; empty: somebody else sees to them
	owner           int
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (s settings) check() error {
	if len(s.nodes) == 0 || len(s.services) == 0 {
		return errors.New("a cluster has nodes and services")
	}
	if len(s.routes) != len(s.nodes) {
		return fmt.Errorf("there are %d nodes, and %d names for routes to them", len(s.nodes), len(s.routes))
	}
	if (s.stores == "") != (s.owner < 0) {
		return errors.New("stores and owner are set both or neither")
	}
	for _, name := range slices.Concat(s.nodes, s.routes, s.services) {
		if !namePattern.MatchString(name) {
			return fmt.Errorf("name %q is not 1 to 63 of [a-z0-9-]", name)
		}
	}
	if d, err := time.ParseDuration(s.sync); s.sync != "always" && (err != nil || d <= 0) {
		return fmt.Errorf("sync %q is neither always nor a time such as 2m", s.sync)
	}
	return nil
}

// place is where the folder of a node or a user will be found.
func (s settings) place(name string) string {
	if s.mount != "" {
		return s.mount
	}
	return filepath.Join(s.dir, name)
}

// mark is the file that is written last: with it, the folder is complete.
const mark = "ca.pem"

// write fills the folder.
func write(s settings) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return fmt.Errorf("find the folder: %w", err)
	}
	if err := s.giveStores(); err != nil {
		return err
	}
	switch _, err := os.Stat(filepath.Join(s.dir, mark)); {
	case err == nil && s.keep:
		return nil
	case err == nil:
		return fmt.Errorf("%s has keys already, and they are not replaced", s.dir)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look into the folder: %w", err)
	}
	authority, err := newAuthority(time.Now())
	if err != nil {
		return err
	}
	users, err := newUsers(s.services)
	if err != nil {
		return err
	}
	w := writer{dir: s.dir}
	w.put("authority/ca.key", authority.keyPEM, 0o600)
	accounts := accountsConf(users)
	for i, node := range s.nodes {
		leaf, err := authority.sign(node, s.routes[i], time.Now())
		if err != nil {
			return err
		}
		w.put(node+"/ca.pem", authority.pem, readable)
		w.put(node+"/node.pem", leaf.pem, readable)
		w.put(node+"/node.key", leaf.keyPEM, readable)
		w.put(node+"/accounts.conf", accounts, readable)
		w.put(node+"/nats.conf", nodeConf(s, i), readable)
	}
	for _, u := range users {
		w.put(u.name+"/ca.pem", authority.pem, readable)
		w.put(u.name+"/user.nk", u.seed, readable)
		context, err := contextFile(s, u)
		if err != nil {
			return err
		}
		w.put(u.name+"/context.json", context, readable)
	}
	w.put(mark, authority.pem, readable)
	return w.err
}

// giveStores makes the folders for the streams of the nodes, and gives them to the user that
// the nodes run as. It may run again.
func (s settings) giveStores() error {
	if s.stores == "" {
		return nil
	}
	for _, node := range s.nodes {
		folder := filepath.Join(s.stores, node)
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return fmt.Errorf("make the store of %s: %w", node, err)
		}
		if err := os.Chown(folder, s.owner, s.owner); err != nil {
			return fmt.Errorf("give away the store of %s: %w", node, err)
		}
	}
	return nil
}

// contextFile is how u connects, in the form of the nats CLI.
func contextFile(s settings, u user) ([]byte, error) {
	urls := make([]string, len(s.nodes))
	for i, node := range s.nodes {
		urls[i] = "tls://" + node + ":4222"
	}
	content, err := json.Marshal(struct {
		Description string `json:"description"`
		URL         string `json:"url"`
		NKey        string `json:"nkey"`
		CA          string `json:"ca"`
		InboxPrefix string `json:"inbox_prefix,omitempty"`
	}{"Sluice: " + u.name, strings.Join(urls, ","), s.place(u.name) + "/user.nk", s.place(u.name) + "/ca.pem", u.inbox}, jsontext.Multiline(true))
	if err != nil {
		return nil, fmt.Errorf("encode the context of %s: %w", u.name, err)
	}
	return append(content, '\n'), nil
}

// readable is for files that a container reads under a user of its own: who may see them is
// decided by which folder is mounted where.
const readable = 0o644

// writer writes files until the first error.
type writer struct {
	dir string
	err error
}

func (w *writer) put(name string, content []byte, mode os.FileMode) {
	if w.err != nil {
		return
	}
	path := filepath.Join(w.dir, name)
	if w.err = os.MkdirAll(filepath.Dir(path), 0o755); w.err == nil { //nolint:gosec // G301: see readable
		w.err = os.WriteFile(path, content, mode)
	}
}
