package registry

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/services/registry/registryapi"
)

// checked is what the bucket of checks holds of one instance.
type checked struct {
	Registered time.Time `json:"registered"` // of the instance that it is about
	At         time.Time `json:"at"`         // of the last check, whatever came of it
	Success    time.Time `json:"success,omitzero"`
	Failures   int       `json:"failures,omitzero"` // in a row, so that a take-over goes on counting
}

// lateness is how long a check may be overdue before nobody can say how the instance is:
// enough for another replica to take over.
const lateness = 3 * leaseTime

// statusAt returns how an instance is at now. It is unknown when nobody checks it, or
// when the last check is too long ago: then it is the registry that fails.
func statusAt(i instance, last checked, now time.Time) registryapi.Status {
	if !i.checked() || !last.Registered.Equal(i.Registered) {
		return registryapi.StatusUnknown
	}
	if now.Sub(last.At) > i.Check.Every()+i.Check.Limit()+lateness {
		return registryapi.StatusUnknown
	}
	return i.Status
}

// show returns a registered instance as others see it.
func show(i instance, last checked, now time.Time) registryapi.Instance {
	shown := registryapi.Instance{
		ID: i.ID, Version: i.Version, Host: i.Host, Port: i.Port, HealthEndpoint: i.HealthEndpoint,
		Status: statusAt(i, last, now),
	}
	if i.checked() {
		shown.Check = &i.Check
	}
	if last.Registered.Equal(i.Registered) {
		shown.LastHeartbeat = last.Success
	}
	return shown
}

// summarise returns a service as its instances make it.
func summarise(name string, instances []registryapi.Instance) registryapi.Service {
	s := registryapi.Service{Name: name, Status: registryapi.StatusUnknown, Instances: instances}
	if s.Instances == nil {
		s.Instances = []registryapi.Instance{}
	}
	for _, i := range instances {
		if compareVersions(i.Version, s.Version) > 0 {
			s.Version = i.Version
		}
		if i.LastHeartbeat.After(s.LastHeartbeat) {
			s.LastHeartbeat = i.LastHeartbeat
		}
		if i.Status == registryapi.StatusHealthy || s.Status == registryapi.StatusUnknown {
			s.Status = i.Status
		}
	}
	slices.SortStableFunc(s.Instances, func(a, b registryapi.Instance) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// compareVersions orders versions as semver does: by number where both have one, and a
// release after its pre-releases.
func compareVersions(a, b string) int {
	coreA, preA, hasA := strings.Cut(strings.TrimPrefix(a, "v"), "-")
	coreB, preB, hasB := strings.Cut(strings.TrimPrefix(b, "v"), "-")
	if n := compareParts(coreA, coreB); n != 0 {
		return n
	}
	switch {
	case hasA && !hasB:
		return -1
	case !hasA && hasB:
		return 1
	default:
		return cmp.Or(compareParts(preA, preB), strings.Compare(a, b))
	}
}

func compareParts(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(a, b string) int {
		n, errA := strconv.ParseUint(a, 10, 64)
		m, errB := strconv.ParseUint(b, 10, 64)
		if errA == nil && errB == nil {
			return cmp.Compare(n, m)
		}
		return strings.Compare(a, b)
	})
}
