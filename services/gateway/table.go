package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/semver"

	"sluice/pkg/discovery"
	"sluice/services/gateway/gatewayapi"
)

const (
	maxServiceRoutes = 500   // of one service
	maxRoutes        = 5_000 // of all
	maxRefused       = 1_000 // that are shown
	maxFormer        = 1_000
	maxName          = 64 // bytes of a name that is shown
	maxReason        = 300
)

// table is what the gateway serves at a time. It never changes: another one takes its
// place.
type table struct {
	mux       *http.ServeMux
	patterns  []pattern // of everything in mux
	routes    []route   // by path and method
	former    []absent  // routes that went, the latest last
	refused   []gatewayapi.Refusal
	services  []string             // behind the routes, sorted
	instances []discovery.Instance // what it was made from
	document  func() (document, error)
}

// newTable returns the routes that instances ask for. One that is in before keeps its
// place against all that came later; of those that come together the service whose
// name comes first wins.
func (g *Gateway) newTable(before *table, instances []discovery.Instance) *table {
	t := &table{instances: instances}
	for _, own := range g.own {
		t.patterns = append(t.patterns, newPattern(own.pattern))
	}
	var wanting []route
	wanting, t.refused = wanted(instances)
	held := before.holders()
	slices.SortStableFunc(wanting, func(a, b route) int {
		switch heldA, heldB := held[a.place()], held[b.place()]; {
		case heldA && !heldB:
			return -1
		case heldB && !heldA:
			return 1
		default:
			return cmp.Or(strings.Compare(a.spec.Service, b.spec.Service), strings.Compare(a.spec.Name, b.spec.Name))
		}
	})
	count := make(map[string]int)
	for _, r := range wanting {
		if reason := g.refuse(t.routes, count[r.spec.Service], r); reason != "" {
			t.refused = append(t.refused, r.refusal(reason))
			continue
		}
		count[r.spec.Service]++
		t.routes = append(t.routes, r)
	}
	slices.SortFunc(t.routes, func(a, b route) int {
		verbA, pathA := a.spec.Route()
		verbB, pathB := b.spec.Route()
		return cmp.Or(strings.Compare(pathA, pathB), strings.Compare(verbA, verbB))
	})
	slices.SortFunc(t.refused, func(a, b gatewayapi.Refusal) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Endpoint, b.Endpoint), strings.Compare(a.Version, b.Version))
	})
	t.former = former(before, t)
	g.mount(t)
	t.document = sync.OnceValues(func() (document, error) { return g.describe(t.routes) })
	return t
}

// mount makes the mux. What conflicts has been sorted out.
func (g *Gateway) mount(t *table) {
	t.mux = http.NewServeMux()
	for _, own := range g.own {
		t.mux.Handle(own.pattern, g.limited(own.pattern, own.handler))
	}
	for _, r := range t.routes {
		t.mux.Handle(r.spec.HTTP, g.handler(r))
		t.patterns = append(t.patterns, r.pattern)
		if i, found := slices.BinarySearch(t.services, r.spec.Service); !found {
			t.services = slices.Insert(t.services, i, r.spec.Service)
		}
	}
	t.mux.HandleFunc("/", g.unrouted)
}

// absent is a route that has gone with its last instance.
type absent struct {
	pattern pattern
	since   time.Time
}

// former returns the routes that were there once and are not now.
func former(before, now *table) []absent {
	if before == nil {
		return nil
	}
	there := make(map[string]bool, len(now.routes))
	for _, r := range now.routes {
		there[r.spec.HTTP] = true
	}
	gone := slices.Clone(before.former)
	for _, r := range before.routes {
		gone = append(gone, absent{r.pattern, time.Now()})
	}
	gone = slices.DeleteFunc(gone, func(a absent) bool { return there[a.pattern.String()] })
	return gone[max(len(gone)-maxFormer, 0):]
}

// place is what a service holds on to.
func (r route) place() string { return r.spec.Service + " " + r.spec.HTTP }

func (t *table) holders() map[string]bool {
	held := make(map[string]bool)
	if t == nil {
		return held
	}
	for _, r := range t.routes {
		held[r.place()] = true
	}
	return held
}

// refuse says why a route can't have its place among those that are in, "" when it can.
func (g *Gateway) refuse(in []route, ofService int, r route) string {
	switch {
	case ofService >= maxServiceRoutes:
		return fmt.Sprintf("a service may have %d routes", maxServiceRoutes)
	case len(in) >= maxRoutes:
		return fmt.Sprintf("there may be %d routes", maxRoutes)
	}
	if path := g.reserves(r); path != "" {
		return path + " is the gateway's own"
	}
	for _, other := range in {
		if !r.pattern.overlaps(other.pattern) {
			continue
		}
		if r.spec.Service == other.spec.Service && (r.pattern.refines(other.pattern) || other.pattern.refines(r.pattern)) {
			continue
		}
		return fmt.Sprintf("%s of %s is there already", other.spec.HTTP, other.spec.Service)
	}
	return ""
}

// wanted returns what the endpoints of instances ask for, each endpoint as its highest
// version says that makes sense, and what makes none.
func wanted(instances []discovery.Instance) (routes []route, refused []gatewayapi.Refusal) {
	newestFirst := slices.Clone(instances)
	slices.SortStableFunc(newestFirst, func(a, b discovery.Instance) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), -compareVersions(a.Version, b.Version), strings.Compare(a.ID, b.ID))
	})
	type key struct{ service, version, endpoint string }
	done, told := make(map[key]bool), make(map[key]bool)
	for _, i := range newestFirst {
		for _, e := range i.Endpoints {
			if !wantsRoute(e) || done[key{i.Name, "", e.Name}] {
				continue
			}
			r, err := declared(i.Name, i.Version, e)
			if err == nil {
				done[key{i.Name, "", e.Name}] = true
				routes = append(routes, r)
				continue
			}
			if one := (key{i.Name, i.Version, e.Name}); !told[one] && len(refused) < maxRefused {
				told[one] = true
				refused = append(refused, gatewayapi.Refusal{
					Service: clip(i.Name, maxName), Endpoint: clip(e.Name, maxName), Version: clip(i.Version, maxName),
					Method: clip(e.Metadata[metaMethod], maxName), Path: clip(e.Metadata[metaPath], maxPath),
					Reason: clip(err.Error(), maxReason),
				})
			}
		}
	}
	return routes, refused
}

// compareVersions compares semantic versions; what is none comes before all that are.
func compareVersions(a, b string) int { return semver.Compare("v"+a, "v"+b) }

func (r route) refusal(reason string) gatewayapi.Refusal {
	verb, path := r.spec.Route()
	return gatewayapi.Refusal{
		Service: r.spec.Service, Endpoint: r.spec.Name, Version: r.version, Method: verb, Path: path, Reason: reason,
	}
}
