package projection_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"sluice/pkg/endpoint"
	"sluice/pkg/eventstore"
	"sluice/pkg/projection"
)

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
	js := srv.Behind(t)
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
