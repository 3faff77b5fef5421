// Package architecture_test holds who may import whom. The rules are data, the
// checker is a function over a list of imports, and every rule has a planted
// violation that proves it bites.
package architecture_test

import (
	"path"
	"slices"
	"strings"
)

// edge is one import. Packages of this module are named from its root ("pkg/event"),
// all others by their import path.
type edge struct {
	from, to string
	test     bool // only test files have it
}

// rule forbids some edges.
type rule struct {
	name    string
	forbids func(e edge) bool
}

// layers of pkg, from the bottom. A package imports from layers below its own only.
var layers = [][]string{
	{"pkg/event", "pkg/config", "pkg/resilience", "pkg/timeline"},
	{"pkg/telemetry", "pkg/auth"},
	{"pkg/eventstore", "pkg/bus", "pkg/endpoint", "pkg/discovery"},
	{"pkg/projection", "pkg/aggregate"},
	{"pkg/app"},
}

const natstest = "pkg/natstest"

// helpers are for tests, and may import what only tests import.
var helpers = []string{natstest, "pkg/event/eventtest", "pkg/telemetry/telemetrytest", "test/program", "test/ledger", "test/stack"}

func isHelper(p string) bool { return slices.Contains(helpers, p) }

var rules = []rule{
	{"a service imports pkg, streams, its own packages and the api of others", func(e edge) bool {
		return isService(e.from) && isOurs(e.to) && !e.test &&
			!isIn(e.to, "pkg") && !isIn(e.to, "streams") && !isAPI(e.to) && owner(e.to) != owner(e.from)
	}},
	{"a service never imports another service, not even in tests", func(e edge) bool {
		return isService(e.from) && isService(e.to) && owner(e.to) != owner(e.from)
	}},
	{"only the program imports services", func(e edge) bool {
		return isService(e.to) && owner(e.from) != owner(e.to) && e.from != "services" && !isIn(e.from, "test") && !isService(e.from)
	}},
	{"an api is a leaf over pkg", func(e edge) bool {
		return isAPI(e.from) && isOurs(e.to) && !isIn(e.to, "pkg") && e.to != e.from && !e.test
	}},
	{"streams is a leaf over pkg", func(e edge) bool {
		return isIn(e.from, "streams") && isOurs(e.to) && !isIn(e.to, "pkg") && !isIn(e.to, "streams")
	}},
	{"pkg knows neither services nor streams", func(e edge) bool {
		return isIn(e.from, "pkg") && isOurs(e.to) && !isIn(e.to, "pkg") && !e.test
	}},
	{"pkg imports downwards only", func(e edge) bool {
		return isIn(e.from, "pkg") && isIn(e.to, "pkg") && !e.test && !isHelper(e.from) && !isHelper(e.to) &&
			layer(e.to) >= layer(e.from)
	}},
	{"every package of pkg has a layer", func(e edge) bool {
		return isIn(e.from, "pkg") && e.from != natstest && layer(e.from) < 0
	}},
	{"only app and natstest link nats-server", func(e edge) bool {
		return isIn(e.to, "github.com/nats-io/nats-server") && !e.test && e.from != "pkg/app" && e.from != natstest
	}},
	{"testing and the helpers of tests are for test files", func(e edge) bool {
		return (isIn(e.to, "testing") || isHelper(e.to)) && !e.test && !isHelper(e.from)
	}},
	{"only event and the benchmarks know the CloudEvents SDK", func(e edge) bool {
		return isIn(e.to, "github.com/cloudevents/sdk-go") && !e.test && e.from != "pkg/event" &&
			e.from != "test/bench"
	}},
	{"nobody imports a test", func(e edge) bool {
		return isIn(e.to, "test") && !isIn(e.from, "test")
	}},
}

// violation is an edge and the rule it breaks.
type violation struct {
	rule string
	edge edge
}

func check(edges []edge) []violation {
	var found []violation
	for _, e := range edges {
		for _, r := range rules {
			if r.forbids(e) {
				found = append(found, violation{r.name, e})
			}
		}
	}
	return found
}

// roots are the folders with code at the top of the module.
var roots = []string{"pkg", "streams", "services", "test"}

func isIn(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func isOurs(p string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return isIn(p, root) })
}

// owner is the service that a package below services belongs to.
func owner(p string) string {
	rest, below := strings.CutPrefix(p, "services/")
	if !below {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func isAPI(p string) bool { return owner(p) != "" && path.Base(p) == owner(p)+"api" }

func isService(p string) bool { return owner(p) != "" && !isAPI(p) }

// layer counts from the bottom; -1 is none.
func layer(p string) int {
	return slices.IndexFunc(layers, func(l []string) bool {
		return slices.ContainsFunc(l, func(root string) bool { return isIn(p, root) })
	})
}
