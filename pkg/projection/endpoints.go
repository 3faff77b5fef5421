package projection

import (
	"context"
	"errors"
	"fmt"

	"sluice/pkg/endpoint"
)

// ListResponse is the answer of svc.<service>.projection: the read models of one
// instance of a service.
type ListResponse struct {
	Items []Report `json:"items"`
}

// Report is a [Status] on the wire. Why a model stands still is in the log.
type Report struct {
	Name      string   `json:"name"`
	Version   int      `json:"version"`
	Stream    string   `json:"stream"`
	State     State    `json:"state"`
	Position  uint64   `json:"position"`
	Last      uint64   `json:"last"`
	Behind    Behind   `json:"behind"`
	ParkedAt  uint64   `json:"parked_at,omitzero"`
	ParkedOn  string   `json:"parked_on,omitzero"`
	Skipped   uint64   `json:"skipped,omitzero"`
	SkippedAt uint64   `json:"skipped_at,omitzero"`
	Rebuild   *Rebuilt `json:"rebuild,omitempty"`
}

// Behind is how far a model is behind, and when it will not be.
type Behind struct {
	Events          uint64  `json:"events"`
	Seconds         float64 `json:"seconds"`
	EventsPerSecond float64 `json:"events_per_second,omitzero"`
	SecondsLeft     float64 `json:"seconds_left,omitzero"`
}

// Rebuilt is a [Rebuild] on the wire.
type Rebuilt struct {
	Position uint64 `json:"position"`
	Behind   Behind `json:"behind"`
}

// RebuildRequest names the read model that svc.<service>.projection-rebuild builds
// anew.
type RebuildRequest struct {
	Name string `json:"name"`
}

// ListMethod returns the method that tells of a service's read models.
func ListMethod(service string) endpoint.Method[struct{}, ListResponse] {
	return endpoint.Method[struct{}, ListResponse]{
		Service: service, Name: "projection", Idempotent: true, Auth: endpoint.Operator,
		Description: "Tells of this instance's read models: how far they are, and how far behind.",
	}
}

// RebuildMethod returns the method that rebuilds one read model of a service.
func RebuildMethod(service string) endpoint.Method[RebuildRequest, struct{}] {
	return endpoint.Method[RebuildRequest, struct{}]{
		Service: service, Name: "projection-rebuild", Idempotent: true, Auth: endpoint.Admin,
		Description: "Builds a read model anew beside the one that serves, and changes over to it when it is up to date; one in a file, in the file of this instance alone.",
	}
}

// Endpoints returns the handlers of [ListMethod] and [RebuildMethod] for the read models of
// a service.
func Endpoints(service string, runners ...*Runner) []endpoint.Handler {
	models := models(runners)
	return []endpoint.Handler{
		endpoint.Handle(ListMethod(service), models.list),
		endpoint.Handle(RebuildMethod(service), models.rebuild),
	}
}

type models []*Runner

func (m models) list(ctx context.Context, _ struct{}) (ListResponse, error) {
	response := ListResponse{Items: make([]Report, 0, len(m))}
	for _, r := range m {
		s, err := r.Status(ctx)
		if err != nil {
			return ListResponse{}, endpoint.Unavailable("the stream does not say how far it is").Because(err)
		}
		response.Items = append(response.Items, report(s, r.Health()))
	}
	return response, nil
}

func report(s Status, health error) Report {
	r := Report{
		Name: s.Name, Version: s.Version, Stream: s.Stream, State: s.State, Position: s.Position, Last: s.Last,
		Behind:  behind(s.Lag, s.Pace, s.Left.Seconds()),
		Skipped: s.Skipped.Events, SkippedAt: s.Skipped.Sequence,
	}
	if parked, ok := errors.AsType[*ParkedError](health); ok {
		r.ParkedAt, r.ParkedOn = parked.Sequence, parked.Type
	}
	if s.Rebuild != nil {
		r.Rebuild = &Rebuilt{Position: s.Rebuild.Position, Behind: behind(s.Rebuild.Lag, s.Rebuild.Pace, s.Rebuild.Left.Seconds())}
	}
	return r
}

func behind(lag Lag, pace, left float64) Behind {
	return Behind{Events: lag.Events, Seconds: lag.Waiting.Seconds(), EventsPerSecond: pace, SecondsLeft: left}
}

// rebuild may be repeated: while a rebuild is going on it asks for nothing more.
func (m models) rebuild(ctx context.Context, req RebuildRequest) (struct{}, error) {
	for _, r := range m {
		if r.name != req.Name {
			continue
		}
		err := r.Rebuild(ctx)
		switch {
		case err == nil, errors.Is(err, ErrRebuilding):
			return struct{}{}, nil
		case errors.Is(err, errors.ErrUnsupported):
			return struct{}{}, endpoint.Invalid("This read model is built anew when its process starts",
				endpoint.FieldError{Field: "name", Message: "cannot be rebuilt while it serves"}).Because(err)
		default:
			return struct{}{}, fmt.Errorf("rebuild %s: %w", req.Name, err)
		}
	}
	return struct{}{}, endpoint.NotFound("No such read model")
}
