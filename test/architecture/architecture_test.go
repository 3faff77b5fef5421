package architecture_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	module = "sluice"
	root   = "../.."
)

func TestImports(t *testing.T) {
	t.Parallel()
	edges := listImports(t)
	if !slices.ContainsFunc(edges, func(e edge) bool { return e.from == "pkg/event" }) {
		t.Fatalf("the list of imports is not the module's: %d edges", len(edges))
	}
	for _, v := range check(edges) {
		t.Errorf("%s imports %s: %s", v.edge.from, v.edge.to, v.rule)
	}
}

// listImports asks the go command, which needs no network for that.
func listImports(t *testing.T) []edge {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var edges []edge
	for dec := jsontext.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		err := json.UnmarshalDecode(dec, &p)
		if errors.Is(err, io.EOF) {
			return edges
		}
		if err != nil {
			t.Fatalf("read the output of go list: %v", err)
		}
		for _, imported := range p.Imports {
			edges = append(edges, edge{from: fromRoot(p.ImportPath), to: fromRoot(imported)})
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			edges = append(edges, edge{from: fromRoot(p.ImportPath), to: fromRoot(imported), test: true})
		}
	}
}

func fromRoot(importPath string) string { return strings.TrimPrefix(importPath, module+"/") }

// Each row breaks the rule it names; no rule is without a row.
func TestEveryRuleBites(t *testing.T) {
	t.Parallel()
	planted := map[string][]edge{
		"a service imports pkg, streams, its own packages and the api of others": {
			{from: "services/order", to: "services/user"},
			{from: "services/order", to: "services"},
			{from: "services/order", to: "test/flow"},
		},
		"a service never imports another service, not even in tests": {
			{from: "services/order", to: "services/user", test: true},
			{from: "services/order/pricing", to: "services/user/hashing"},
		},
		"only the program imports services": {
			{from: "streams", to: "services/user"},
			{from: "pkg/app", to: "services/user"},
			{from: "services/order/orderapi", to: "services/user"},
		},
		"an api is a leaf over pkg": {
			{from: "services/order/orderapi", to: "services/user/userapi"},
			{from: "services/order/orderapi", to: "services/order"},
			{from: "services/order/orderapi", to: "streams"},
		},
		"streams is a leaf over pkg": {
			{from: "streams", to: "services/order/orderapi"},
		},
		"pkg knows neither services nor streams": {
			{from: "pkg/app", to: "streams"},
			{from: "pkg/bus", to: "services/order/orderapi"},
		},
		"pkg imports downwards only": {
			{from: "pkg/bus", to: "pkg/eventstore"},
			{from: "pkg/eventstore", to: "pkg/bus"},
			{from: "pkg/eventstore", to: "pkg/projection"},
			{from: "pkg/event", to: "pkg/telemetry"},
			{from: "pkg/endpoint", to: "pkg/app"},
			{from: "pkg/aggregate", to: "pkg/projection"},
		},
		"every package of pkg has a layer": {
			{from: "pkg/util", to: "strings"},
		},
		"only app and natstest link nats-server": {
			{from: "pkg/bus", to: "github.com/nats-io/nats-server/v2/server"},
			{from: "services", to: "github.com/nats-io/nats-server/v2/server"},
		},
		"testing and the helpers of tests are for test files": {
			{from: "pkg/bus", to: "testing"},
			{from: "services/order", to: "testing/synctest"},
			{from: "pkg/app", to: "pkg/natstest"},
			{from: "services/order/orderapi", to: "pkg/event/eventtest"},
			{from: "test/bench", to: "test/program"},
		},
		"only event and the benchmarks know the CloudEvents SDK": {
			{from: "services/gateway", to: "github.com/cloudevents/sdk-go/v2/event"},
		},
		"nobody imports a test": {
			{from: "services", to: "test/flow"},
		},
	}
	for _, r := range rules {
		if len(planted[r.name]) == 0 {
			t.Errorf("no violation is planted for: %s", r.name)
		}
		for _, e := range planted[r.name] {
			if !slices.Contains(check([]edge{e}), violation{r.name, e}) {
				t.Errorf("%s imports %s, and nothing happens: %s", e.from, e.to, r.name)
			}
		}
	}
	if len(planted) != len(rules) {
		t.Errorf("violations of %d rules are planted, and there are %d", len(planted), len(rules))
	}
}

func TestWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, e := range []edge{
		{from: "services", to: "services/order"},
		{from: "services", to: "streams"},
		{from: "services", to: "pkg/app"},
		{from: "services/order", to: "services/order/orderapi"},
		{from: "services/order", to: "services/order/pricing"},
		{from: "services/order", to: "services/user/userapi"},
		{from: "services/order", to: "streams"},
		{from: "services/order", to: "pkg/natstest", test: true},
		{from: "services/order/orderapi", to: "pkg/event"},
		{from: "streams", to: "pkg/bus"},
		{from: "streams", to: "github.com/nats-io/nats-server/v2/server", test: true},
		{from: "pkg/app", to: "github.com/nats-io/nats-server/v2/server"},
		{from: "pkg/app", to: "pkg/endpoint"},
		{from: "pkg/projection", to: "pkg/eventstore"},
		{from: "pkg/eventstore", to: "pkg/telemetry"},
		{from: "pkg/natstest", to: "testing"},
		{from: "pkg/event/eventtest", to: "pkg/event"},
		{from: "services/order/orderapi", to: "pkg/event/eventtest", test: true},
		{from: "pkg/event", to: "github.com/cloudevents/sdk-go/v2/event"},
		{from: "test/flow", to: "services/order", test: true},
	} {
		if found := check([]edge{e}); len(found) > 0 {
			t.Errorf("%s imports %s: %v", e.from, e.to, found)
		}
	}
}

// The top of the tree is what a newcomer sees first. A new name there is a decision,
// made here.
var topLevel = []string{
	"README.md", "LICENSE", "Taskfile.yml", "compose.yaml", "go.mod", "go.sum",
	"pkg", "streams", "services", "test",
}

// unversioned is what .gitignore keeps out.
var unversioned = []string{"data", "bin", "*.test", "*.out"}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !allowedAtTop(e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
	for _, planted := range []string{"util", "main.go", "docs", "internal", "databases"} {
		if allowedAtTop(planted) {
			t.Errorf("%s would be allowed at the top level", planted)
		}
	}
}

// allowedAtTop leaves dot files to the tools they belong to.
func allowedAtTop(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains(topLevel, name) ||
		slices.ContainsFunc(unversioned, func(pattern string) bool {
			matched, err := filepath.Match(pattern, name)
			return err == nil && matched
		})
}
