package projection_test

import (
	"context"
	"testing"
	"time"

	"sluice/pkg/auth"
	"sluice/pkg/endpoint"
	"sluice/pkg/projection"
)

// From outside one sees how far the models of a service are, and has one rebuilt.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	srv, w := start(t)
	f := follow(t, w.js, quick())
	defer f.stop(t)
	m := remember(t, w, fold, quick())
	defer m.stop(t)
	server := endpoint.Serve(srv.Connect(t), endpoint.ServiceConfig{
		Name: "thing", Version: "1.0.0",
		Verify: func(context.Context, string) (auth.Identity, error) {
			return auth.Identity{User: "root", Roles: []auth.Role{auth.Admin}}, nil
		},
	},
		projection.Endpoints("thing", f.runner, m.runner)...)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	caller := endpoint.NewCaller(srv.Connect(t), endpoint.CallerConfig{
		Token: func(context.Context) (string, error) { return "token", nil },
	})
	last := w.write(t, "a", added{"x", 1})
	f.catchUp(t)
	list := func() projection.ListResponse {
		t.Helper()
		response, err := endpoint.Call(t.Context(), caller, projection.ListMethod("thing"), struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	response := list()
	if len(response.Items) != 2 {
		t.Fatalf("%+v", response)
	}
	want := projection.Report{Name: bucketName, Version: 1, Stream: things.Name, State: projection.Following, Position: last, Last: last}
	got := response.Items[0]
	if got.Behind.EventsPerSecond = 0; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := endpoint.Call(t.Context(), caller, projection.RebuildMethod("thing"), projection.RebuildRequest{Name: "none"}); endpoint.CodeOf(err) != endpoint.CodeNotFound {
		t.Errorf("rebuild none: %v", err)
	}
	damage(t, w.js, "a")
	if _, err := endpoint.Call(t.Context(), caller, projection.RebuildMethod("thing"), projection.RebuildRequest{Name: bucketName}); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool {
		v, err := f.view.Get(t.Context(), "a")
		return err == nil && v.Folds == 1
	})
	for deadline := time.Now().Add(20 * time.Second); list().Items[0].Rebuild != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the rebuild does not end")
		}
	}
}
