package projection_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/natstest"
	"sluice/pkg/projection"
)

// behind returns a JetStream context whose direct reads of buckets are answered as by a
// replica that has got nothing since each was made for the first time.
func behind(t *testing.T, srv *natstest.Server) jetstream.JetStream {
	t.Helper()
	nc := srv.Connect(t)
	var first sync.Map // replies by subject
	if _, err := nc.Subscribe("behind.>", func(m *nats.Msg) {
		subject := jetstream.DefaultAPIPrefix + strings.TrimPrefix(m.Subject, "behind.")
		if !strings.Contains(subject, "DIRECT.GET.KV_") {
			if err := nc.PublishRequest(subject, m.Reply, m.Data); err != nil {
				t.Error(err)
			}
			return
		}
		old, seen := first.Load(subject)
		if !seen {
			reply, err := nc.RequestWithContext(context.WithoutCancel(t.Context()), subject, m.Data)
			if err != nil {
				t.Error(err)
				return
			}
			old, _ = first.LoadOrStore(subject, reply)
		}
		reply, _ := old.(*nats.Msg)
		if err := m.RespondMsg(&nats.Msg{Header: reply.Header, Data: reply.Data}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(srv.Connect(t), "behind.")
	if err != nil {
		t.Fatal(err)
	}
	return js
}

type lookRequest struct {
	ID string `json:"id"`
}

type lookResponse struct {
	Folds  int `json:"folds"`
	Listed int `json:"listed"`
}

var lookMethod = endpoint.Method[lookRequest, lookResponse]{Service: "look", Name: "look", Description: "Look.", Auth: endpoint.Public}

// On a replica that is behind, who asks for a position reads what was written there, and
// whoever asks, a list leaves nothing out that its index has.
func TestReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	js := behind(t, srv)
	view := projection.KV(js, bucketName, fold)
	runner := view.Follow(eventstore.New(js, things, registry), quick())
	if err := runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer follower{view, runner}.stop(t)
	server := endpoint.Serve(srv.Connect(t), endpoint.ServiceConfig{Name: "look", Version: "1.0.0"},
		endpoint.Handle(lookMethod, func(ctx context.Context, req lookRequest) (lookResponse, error) {
			if err := view.Await(ctx); err != nil {
				return lookResponse{}, err
			}
			one, err := view.Get(ctx, req.ID)
			if err != nil {
				return lookResponse{}, err
			}
			listed, _, err := view.List(ctx, "by-owner.ada", "", 0)
			return lookResponse{Folds: one.Folds, Listed: len(listed)}, err
		}))
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc := srv.Connect(t)
	for i, want := range []string{`{"folds":1,"listed":1}`, `{"folds":2,"listed":1}`, `{"folds":3,"listed":1}`} {
		position := endpoint.Position{Stream: things.Name, Sequence: w.write(t, "a", added{Owner: "ada", Amount: i})}
		reply, err := nc.RequestMsgWithContext(t.Context(), &nats.Msg{
			Subject: lookMethod.Subject(), Data: []byte(`{"id":"a"}`), Header: nats.Header{endpoint.HeaderPosition: {position.String()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(reply.Data); got != want {
			t.Errorf("at %s: %s, not %s", position, got, want)
		}
	}
	f.catchUp(t)
	if _, err := view.Get(t.Context(), "b"); err == nil {
		t.Error("there is a b")
	}
	w.write(t, "b", added{Owner: "ada"})
	f.catchUp(t)
	if all, _, err := view.List(t.Context(), "by-owner.ada", "", 0); err != nil || len(all) != 2 {
		t.Errorf("the list is %v, %v", all, err)
	}
}
