package gateway_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bojanz/currency"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
)

// The endpoints of a service of things have every shape that an endpoint can have.

type thing struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Kind    string          `json:"kind,omitempty"`
	Price   currency.Amount `json:"price"`
	Parts   []piece         `json:"parts,omitempty"`
	Made    time.Time       `json:"made"`
	Version uint64          `json:"version"`
}

type piece struct {
	Label  string `json:"label" validate:"required"`
	Weight int64  `json:"weight" validate:"min=1,max=100"`
}

type makeThing struct {
	Name  string          `json:"name" validate:"required,min=1,max=2000"`
	Kind  string          `json:"kind,omitempty" validate:"omitempty,oneof=big small"`
	Price currency.Amount `json:"price"`
	Parts []piece         `json:"parts,omitempty" validate:"max=10,dive"`
	Made  time.Time       `json:"made,omitzero"`
}

type changeThing struct {
	ID string `json:"id" validate:"required,max=128"`

	makeThing
}

type thingID struct {
	ID string `json:"id" validate:"required,max=128"`
}

type partOf struct {
	ID     string `json:"id" validate:"required,max=128"`
	Number int    `json:"number" validate:"min=0"`
}

type listThings struct {
	Kind     string  `json:"kind,omitempty"`
	Limit    int     `json:"limit,omitzero" validate:"min=0,max=100"`
	MinShare float64 `json:"min_share,omitzero"`
	Fresh    bool    `json:"fresh,omitzero"`
}

type thingList struct {
	Items []thing `json:"items"`
	Next  string  `json:"next,omitempty"`
}

// exportThings asks for Limit things, and then an error if there is to be one.
type exportThings struct {
	Limit int    `json:"limit,omitzero"`
	Kind  string `json:"kind,omitempty"`
}

type report struct {
	Count int            `json:"count"`
	By    map[string]int `json:"by"`
}

var (
	thingCreate = endpoint.Method[makeThing, thing]{
		Service: "thing", Name: "create", HTTP: "POST /v1/things", Location: "/v1/things/{id}", Idempotent: true, Auth: endpoint.SignedIn,
		Description: "Makes a thing.",
	}
	thingGet     = endpoint.Method[thingID, thing]{Service: "thing", Name: "get", HTTP: "GET /v1/things/{id}", Idempotent: true, Auth: endpoint.SignedIn}
	thingReplace = endpoint.Method[changeThing, thing]{Service: "thing", Name: "replace", HTTP: "PUT /v1/things/{id}", Idempotent: true, Auth: endpoint.SignedIn}
	thingPatch   = endpoint.Method[changeThing, thing]{Service: "thing", Name: "patch", HTTP: "PATCH /v1/things/{id}", Idempotent: true, Auth: endpoint.SignedIn}
	thingTouch   = endpoint.Method[thingID, thing]{Service: "thing", Name: "touch", HTTP: "POST /v1/things/{id}/touch", Idempotent: true, Auth: endpoint.SignedIn}
	thingDrop    = endpoint.Method[thingID, struct{}]{Service: "thing", Name: "drop", HTTP: "DELETE /v1/things/{id}", Idempotent: true, Auth: endpoint.Operator}
	thingAll     = endpoint.Method[listThings, thingList]{Service: "thing", Name: "list", HTTP: "GET /v1/things", Idempotent: true, Auth: endpoint.Public}
	thingPart    = endpoint.Method[partOf, piece]{Service: "thing", Name: "part", HTTP: "GET /v1/things/{id}/parts/{number}", Idempotent: true, Auth: endpoint.Public}
	thingReport  = endpoint.Method[struct{}, report]{Service: "thing", Name: "report", HTTP: "GET /v1/things-report", Idempotent: true, Auth: endpoint.Admin}
	thingExport  = endpoint.Stream[exportThings, thing]{Service: "thing", Name: "export", HTTP: "GET /v1/things-export", Auth: endpoint.Operator}
	thingSync    = endpoint.Method[struct{}, report]{Service: "thing", Name: "sync", HTTP: "POST /v1/things-sync", Idempotent: true, Auth: endpoint.Internal}
)

// things are kept in memory: what they are is none of these tests' business.
type things struct {
	mu   sync.Mutex
	all  map[string]thing
	last int

	stopped chan struct{} // exports have no end, and it is closed when one is not wanted any more
}

func (s *things) handlers() []endpoint.Handler {
	s.all = map[string]thing{"a": {ID: "a", Name: "first", Price: amount(), Parts: []piece{{"lid", 3}}, Made: time.Unix(0, 0).UTC(), Version: 1}}
	return []endpoint.Handler{
		endpoint.Handle(thingCreate, s.create), endpoint.Handle(thingGet, s.get), endpoint.Handle(thingReplace, s.change),
		endpoint.Handle(thingPatch, s.change), endpoint.Handle(thingTouch, s.touch), endpoint.Handle(thingDrop, s.drop),
		endpoint.Handle(thingAll, s.list), endpoint.Handle(thingPart, s.part), endpoint.Handle(thingReport, s.report),
		endpoint.Handle(thingSync, s.report), endpoint.HandleStream(thingExport, s.export),
	}
}

func amount() currency.Amount {
	a, err := currency.NewAmount("19.99", "EUR")
	if err != nil {
		panic(err)
	}
	return a
}

func (s *things) create(ctx context.Context, r makeThing) (thing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	made := thing{ID: fmt.Sprint("t", s.last), Name: r.Name, Kind: r.Kind, Price: r.Price, Parts: r.Parts, Made: r.Made, Version: 1}
	s.all[made.ID] = made
	endpoint.Wrote(ctx, "THINGS", uint64(s.last))
	return made, nil
}

// find returns a thing of the version that the caller expects.
func (s *things) find(ctx context.Context, id string) (thing, error) {
	found, ok := s.all[id]
	if !ok {
		return found, endpoint.NotFound("there is no such thing")
	}
	if version, ok := endpoint.Expected(ctx); ok && version != found.Version {
		return found, endpoint.Stale("it has changed")
	}
	return found, nil
}

func (s *things) get(_ context.Context, r thingID) (thing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(context.Background(), r.ID)
}

func (s *things) change(ctx context.Context, r changeThing) (thing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(ctx, r.ID)
	if err != nil {
		return thing{}, err
	}
	found.Name, found.Kind, found.Price, found.Parts, found.Made = r.Name, r.Kind, r.Price, r.Parts, r.Made
	found.Version++
	s.all[r.ID] = found
	endpoint.Wrote(ctx, "THINGS", 100)
	return found, nil
}

func (s *things) touch(ctx context.Context, r thingID) (thing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(ctx, r.ID)
	if err != nil {
		return thing{}, err
	}
	found.Version++
	s.all[r.ID] = found
	return found, nil
}

func (s *things) drop(ctx context.Context, r thingID) (struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.find(ctx, r.ID)
	return struct{}{}, err
}

func (s *things) list(ctx context.Context, r listThings) (thingList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := thingList{Items: []thing{}}
	for _, t := range s.all {
		if auth.From(ctx).Anonymous() && len(list.Items) == 1 {
			break
		}
		if r.Kind == "" || t.Kind == r.Kind {
			list.Items = append(list.Items, t)
		}
	}
	slices.SortFunc(list.Items, func(a, b thing) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

func (s *things) part(_ context.Context, r partOf) (piece, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(context.Background(), r.ID)
	if err != nil || r.Number >= len(found.Parts) {
		return piece{}, endpoint.NotFound("there is no such part")
	}
	return found.Parts[r.Number], nil
}

func (s *things) report(context.Context, struct{}) (report, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return report{Count: len(s.all), By: map[string]int{"all": len(s.all)}}, nil
}

func (s *things) export(ctx context.Context, r exportThings) iter.Seq2[thing, error] {
	return func(yield func(thing, error) bool) {
		if s.stopped == nil {
			r.Limit = min(r.Limit, 10_000)
		}
		for n := range r.Limit {
			if ctx.Err() != nil || !yield(thing{ID: fmt.Sprint("t", n), Name: strings.Repeat("x", 100), Price: amount()}, nil) {
				if s.stopped != nil {
					close(s.stopped)
				}
				return
			}
		}
		if r.Kind == "broken" {
			yield(thing{}, endpoint.Conflict("it changed meanwhile"))
		}
	}
}
