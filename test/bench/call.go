package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"sluice/pkg/endpoint"
	"sluice/pkg/resilience"
	"sluice/pkg/telemetry"
)

// callers and how many calls each of them makes in a round.
var callers = []load{{1, 6000}, {16, 2000}, {64, 1000}}

// echo answers with its request, so that the same message goes both ways.
var echo = endpoint.Method[noted, noted]{
	Service: "bench", Name: "echo", Description: "Say it again.", Auth: endpoint.Public,
}

// calls: a typed call and its answer, beside the same with nats.go's micro and the same
// JSON library by hand, and beside a unary call of grpc-go, which goes to its service
// without a server in between. Then the same call under a whole chain of policies,
// beside itself without. Caller and service share a process, over connections of
// their own.
func calls() []contest {
	var all []contest
	for _, l := range callers {
		all = append(all, contest{
			name: fmt.Sprintf("call/%d", l.writers), metrics: []metric{{unit: "calls/s"}},
			prepare: func(ctx context.Context, r *rig) (field, error) {
				typed, err := typedCaller(ctx, r)
				if err != nil {
					return field{}, err
				}
				raw, err := rawCaller(ctx, r)
				if err != nil {
					return field{}, err
				}
				grpc, err := grpcCaller(ctx, r)
				if err != nil {
					return field{}, err
				}
				return field{
					ours:  r.calling(l, calling(typed)),
					peers: []peer{{"raw micro with JSON", r.calling(l, raw)}, {"grpc-go", r.calling(l, grpc)}},
				}, nil
			},
		}, contest{
			name: fmt.Sprintf("call/%d/under policies", l.writers), metrics: []metric{{unit: "calls/s"}},
			prepare: func(ctx context.Context, r *rig) (field, error) {
				typed, err := typedCaller(ctx, r)
				if err != nil {
					return field{}, err
				}
				set, err := resilience.NewSet(map[string]resilience.Config{"bench": everyPolicy}, endpoint.Hooks(nil))
				if err != nil {
					return field{}, err
				}
				return field{
					ours:  r.calling(l, calling(typed.With(set))),
					peers: []peer{{"ours without", r.calling(l, calling(typed))}},
				}, nil
			},
		})
	}
	return all
}

// everyPolicy has every link of the chain, none of which stops anything here.
var everyPolicy = resilience.Config{
	Timeout:   4 * time.Second, // less than the caller's own, so that it counts
	Retry:     resilience.Retry{Attempts: 3},
	Breaker:   resilience.Breaker{Window: time.Minute},
	Bulkhead:  resilience.Bulkhead{Limit: 1000},
	RateLimit: resilience.RateLimit{PerSecond: 1e6, Burst: 1e6},
}

// calling lets as many callers call at the same time.
func (r *rig) calling(l load, call writer) round {
	each := r.size(l.each, 20)
	return func(ctx context.Context, _ int) ([]float64, error) {
		all, err := crew(l.writers, func() (writer, error) { return call, nil })
		if err != nil {
			return nil, err
		}
		return together(ctx, all, each)
	}
}

// echoed tells whether what came back is what was sent.
func echoed(sent, got noted) error {
	if !got.Time.Equal(sent.Time) {
		return fmt.Errorf("sent %v, and %v came back", sent, got)
	}
	got.Time = sent.Time
	if got != sent {
		return fmt.Errorf("sent %v, and %v came back", sent, got)
	}
	return nil
}

// typedCaller serves echo and returns who may call it, in a process that is set up as
// all are: requests get ids, and nothing is exported.
func typedCaller(ctx context.Context, r *rig) (*endpoint.Caller, error) {
	ids := telemetry.Setup(ctx, telemetry.Config{})
	r.closers = append(r.closers, func() error { return ids.Shutdown(context.WithoutCancel(ctx)) })
	nc, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	server := endpoint.Serve(nc, endpoint.ServiceConfig{Name: echo.Service, Version: "1.0.0"},
		endpoint.Handle(echo, func(_ context.Context, n noted) (noted, error) { return n, nil }))
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	r.closers = append(r.closers, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		return server.Stop(ctx)
	})
	nc, err = r.connect(ctx)
	if err != nil {
		return nil, err
	}
	return endpoint.NewCaller(nc, endpoint.CallerConfig{}), nil
}

func calling(c *endpoint.Caller) writer {
	sent := fact()
	return func(ctx context.Context, _ int) error {
		got, err := endpoint.Call(ctx, c, echo, sent)
		if err != nil {
			return err
		}
		return echoed(sent, got)
	}
}

// rawCaller is what one would write with nats.go alone.
func rawCaller(ctx context.Context, r *rig) (writer, error) {
	nc, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	const subject = "raw.echo"
	service, err := micro.AddService(nc, micro.Config{Name: "raw", Version: "1.0.0"})
	if err != nil {
		return nil, err
	}
	err = service.AddEndpoint("echo", micro.HandlerFunc(func(req micro.Request) {
		if err := repeatRaw(req); err != nil {
			_ = req.Error("500", err.Error(), nil)
		}
	}), micro.WithEndpointSubject(subject))
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, service.Stop)
	if err := nc.FlushTimeout(stopGrace); err != nil {
		return nil, err
	}
	if nc, err = r.connect(ctx); err != nil {
		return nil, err
	}
	sent := fact()
	return func(context.Context, int) error {
		body, err := json.Marshal(sent)
		if err != nil {
			return err
		}
		reply, err := nc.Request(subject, body, 5*time.Second)
		if err != nil {
			return err
		}
		var got noted
		if err := json.Unmarshal(reply.Data, &got); err != nil {
			return err
		}
		return echoed(sent, got)
	}, nil
}

func repeatRaw(req micro.Request) error {
	var n noted
	if err := json.Unmarshal(req.Data(), &n); err != nil {
		return err
	}
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return req.Respond(body)
}

// connect returns a new connection to the contest's server.
func (r *rig) connect(ctx context.Context) (*nats.Conn, error) {
	js, err := r.jetStream(ctx)
	if err != nil {
		return nil, err
	}
	return js.Conn(), nil
}
