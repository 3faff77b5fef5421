package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/pkg/aggregate"
	"sluice/pkg/discovery"
	"sluice/pkg/endpoint"
	"sluice/pkg/event"
	"sluice/pkg/projection"
	"sluice/services/registry/registryapi"
)

type handlers struct {
	services  *aggregate.Aggregates[service]
	view      *projection.View[service]
	raised    *projection.View[registryapi.Alert]
	found     *discovery.Client
	checks    checks
	prober    prober
	addresses addresses
	log       *slog.Logger
}

const (
	defaultPage   = 50
	defaultHealth = "/health"
	parallelReads = 16
	refusedHost   = "is an address that the registry does not check"
)

func (h handlers) register(ctx context.Context, req registryapi.RegisterRequest) (registryapi.Service, error) {
	if h.addresses.refusesHost(req.Host) {
		return registryapi.Service{}, endpoint.Invalid("the request is not valid", endpoint.FieldError{Field: "host", Message: refusedHost})
	}
	r := registryapi.Registered{
		About:   registryapi.About{Name: req.Name, Instance: req.ID, Timestamp: time.Now().UTC()},
		Version: req.Version, Host: strings.ToLower(req.Host), Port: req.Port, HealthEndpoint: req.HealthEndpoint,
	}
	if r.Instance == "" {
		r.Instance = event.DeriveID("instance", r.Host, strconv.Itoa(r.Port))
	}
	if r.HealthEndpoint == "" {
		r.HealthEndpoint = defaultHealth
	}
	if req.Check != nil {
		r.Check = req.Check.Normal()
	}
	return h.change(ctx, req.Name, func(s service) ([]event.Data, error) { return register(s, r) })
}

func (h handlers) changeCheck(ctx context.Context, req registryapi.ChangeCheckRequest) (registryapi.Service, error) {
	return h.change(ctx, req.Name, func(s service) ([]event.Data, error) {
		return changeCheck(s, req.Instance, req.Check.Normal(), time.Now().UTC())
	})
}

// change runs a command and answers with the instances that are registered now.
func (h handlers) change(ctx context.Context, name string, decide func(s service) ([]event.Data, error)) (registryapi.Service, error) {
	result, err := h.services.Do(ctx, aggregate.Command[service]{ID: name, Decide: decide})
	if err != nil {
		return registryapi.Service{}, err
	}
	return summarise(name, h.registered(ctx, result.State)), nil
}

func (h handlers) deregister(ctx context.Context, req registryapi.DeregisterRequest) (registryapi.DeregisterResponse, error) {
	result, err := h.services.Do(ctx, aggregate.Command[service]{
		ID:     req.Name,
		Decide: func(s service) ([]event.Data, error) { return deregister(s, req.Instance, time.Now().UTC()) },
	})
	if err != nil {
		return registryapi.DeregisterResponse{}, err
	}
	res := registryapi.DeregisterResponse{Name: req.Name, Instances: make([]string, 0, len(result.State.Instances))}
	for _, i := range result.State.Instances {
		res.Instances = append(res.Instances, i.ID)
	}
	return res, nil
}

// get answers from the read model, and from the history when the model has not got
// there yet.
func (h handlers) get(ctx context.Context, req registryapi.GetRequest) (registryapi.Service, error) {
	if err := h.view.Await(ctx); err != nil {
		return registryapi.Service{}, err
	}
	s, err := h.view.Get(ctx, req.Name)
	if errors.Is(err, projection.ErrNotFound) {
		s, err = h.latest(ctx, req.Name)
	}
	if err != nil {
		return registryapi.Service{}, err
	}
	running, err := h.running(ctx, req.Name, s)
	if err != nil {
		return registryapi.Service{}, err
	}
	if len(s.Instances)+len(running) == 0 {
		return registryapi.Service{}, notFound()
	}
	return summarise(req.Name, append(h.registered(ctx, s), running...)), nil
}

// latest returns a service as its history has it; without one it is the zero service. A
// name that cannot have one, nobody on NATS can have either.
func (h handlers) latest(ctx context.Context, name string) (service, error) {
	if err := event.CheckID(name); err != nil {
		return service{}, notFound().Because(err)
	}
	result, err := h.services.Get(ctx, name)
	if errors.Is(err, aggregate.ErrNotFound) {
		return service{}, nil
	}
	return result.State, err
}

// list reads all services to return a page of them: it is meant for hundreds.
func (h handlers) list(ctx context.Context, req registryapi.ListRequest) (registryapi.ListResponse, error) {
	after, err := base64.RawURLEncoding.Strict().DecodeString(req.Cursor)
	if err != nil {
		return registryapi.ListResponse{}, endpoint.Invalid("the cursor is malformed", endpoint.FieldError{Field: "cursor", Message: "is malformed"})
	}
	if err := h.view.Await(ctx); err != nil {
		return registryapi.ListResponse{}, err
	}
	all, err := h.all(ctx)
	if err != nil {
		return registryapi.ListResponse{}, err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		if name > string(after) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	limit := req.Limit
	if limit == 0 {
		limit = defaultPage
	}
	page := registryapi.ListResponse{Items: []registryapi.Service{}}
	for _, name := range names[:min(limit, len(names))] {
		page.Items = append(page.Items, summarise(name, append(h.registered(ctx, all[name].registered), all[name].running...)))
	}
	if len(names) > limit {
		page.Next = base64.RawURLEncoding.EncodeToString([]byte(names[limit-1]))
	}
	return page, nil
}

// both is what there is under one name.
type both struct {
	registered service
	running    []registryapi.Instance
}

func (h handlers) all(ctx context.Context) (map[string]both, error) {
	registered, err := listAll(ctx, h.view)
	if err != nil {
		return nil, err
	}
	all := make(map[string]both, len(registered))
	for _, s := range registered {
		all[s.Name] = both{registered: s}
	}
	running, err := h.found.All(ctx)
	if err != nil && !errors.Is(err, discovery.ErrNoInstances) {
		return nil, coded(err)
	}
	for _, i := range running {
		b := all[i.Name]
		b.running = append(b.running, showRunning(i, b.registered))
		all[i.Name] = b
	}
	// Nobody may be left of those that the history has.
	maps.DeleteFunc(all, func(_ string, b both) bool { return len(b.registered.Instances)+len(b.running) == 0 })
	return all, nil
}

// running returns the instances of a service that answer on NATS, with what its history
// has of them.
func (h handlers) running(ctx context.Context, name string, s service) ([]registryapi.Instance, error) {
	instances, err := h.found.Instances(ctx, name)
	if errors.Is(err, discovery.ErrNoInstances) || errors.Is(err, discovery.ErrName) {
		return nil, nil
	}
	if err != nil {
		return nil, coded(err)
	}
	shown := make([]registryapi.Instance, len(instances))
	for n, i := range instances {
		shown[n] = showRunning(i, s)
	}
	return shown, nil
}

// registered returns the registered instances with what checks said of them. What
// cannot be read makes an instance unknown, which is what it is then.
func (h handlers) registered(ctx context.Context, s service) []registryapi.Instance {
	shown := make([]registryapi.Instance, len(s.Instances))
	var group errgroup.Group
	group.SetLimit(parallelReads)
	for n, i := range s.Instances {
		group.Go(func() error {
			var last checked
			var err error
			if i.checked() {
				last, err = h.checks.get(ctx, s.Name, i.ID)
			}
			shown[n] = show(i, last, time.Now())
			return err
		})
	}
	if err := group.Wait(); err != nil {
		h.log.WarnContext(ctx, "some statuses are not known", "service_name", s.Name, "error", err)
	}
	return shown
}

// healthCheck asks every instance now. It changes no status: whoever calls it decides
// nothing for others.
func (h handlers) healthCheck(ctx context.Context, req registryapi.HealthCheckRequest) (registryapi.Service, error) {
	s, err := h.latest(ctx, req.Name)
	if err != nil {
		return registryapi.Service{}, err
	}
	running, err := h.running(ctx, req.Name, service{})
	if err != nil {
		return registryapi.Service{}, err
	}
	if len(s.Instances)+len(running) == 0 {
		return registryapi.Service{}, notFound()
	}
	wrong, err := h.checkRunning(ctx, req.Name, running)
	if err != nil {
		return registryapi.Service{}, err
	}
	shown := make([]registryapi.Instance, len(s.Instances))
	failures := make([]string, len(s.Instances))
	var group errgroup.Group
	group.SetLimit(parallelReads)
	for n, i := range s.Instances {
		group.Go(func() error {
			now := time.Now().UTC()
			shown[n] = show(i, checked{}, now)
			shown[n].Status, shown[n].LastHeartbeat = registryapi.StatusHealthy, now
			failures[n] = h.prober.probe(ctx, i)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return registryapi.Service{}, err
	}
	for n, failure := range failures {
		if failure != "" {
			wrong = append(wrong, endpoint.FieldError{Field: "instances." + s.Instances[n].ID, Message: failure})
		}
	}
	if len(wrong) > 0 {
		return registryapi.Service{}, healthCheckFailed(wrong...)
	}
	return summarise(req.Name, slices.Concat(shown, running)), nil
}

// checkRunning returns those of the instances on NATS that say that they are failing.
func (h handlers) checkRunning(ctx context.Context, name string, running []registryapi.Instance) ([]endpoint.FieldError, error) {
	if len(running) == 0 {
		return nil, nil
	}
	failures, err := ask(ctx, h.found, name)
	if err != nil {
		return nil, coded(err)
	}
	var wrong []endpoint.FieldError
	for _, i := range running {
		if failure := failures[instanceID{name, i.ID}]; failure != "" {
			wrong = append(wrong, endpoint.FieldError{Field: "instances." + i.ID, Message: failure})
		}
	}
	return wrong, nil
}

// coded gives an error of discovery the code that it has for the caller.
func coded(err error) error {
	switch {
	case errors.Is(err, discovery.ErrUnreachable):
		return endpoint.Unavailable("NATS is unreachable").Because(err)
	case errors.Is(err, discovery.ErrTimeout):
		return endpoint.Deadline("services did not say in time that they are there").Because(err)
	default:
		return err
	}
}
