package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
)

func TestAServiceSpeaksForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier(t, auth.Config{})
	for _, name := range []string{"order", "user", "a-b-1"} {
		tokens := auth.NewServiceTokens(w.js, name)
		token, err := tokens.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if id, err := v.Verify(t.Context(), token); err != nil || id.Service != name || id.User != "" || id.Roles != nil {
			t.Errorf("%+v, %v", id, err)
		}
		if again, err := tokens.Token(t.Context()); err != nil || again != token {
			t.Errorf("a token that is good is made anew: %v", err)
		}
		if err := tokens.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, "the token of a service that has stopped is refused", func() bool {
			_, err := v.Verify(t.Context(), token)
			return errors.Is(err, auth.ErrRefused)
		})
	}
	if _, err := auth.NewServiceTokens(w.js, "no.name").Token(t.Context()); err == nil {
		t.Error("a service with a dot in its name has a token")
	}
}

// TestManyCallersShareOneToken, and one key.
func TestManyCallersShareOneToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := auth.NewServiceTokens(w.js, "order")
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]bool{}
	)
	for range 50 {
		all.Go(func() {
			token, err := tokens.Token(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[token] = true
		})
	}
	all.Wait()
	names, err := w.keys.Keys(t.Context())
	if err != nil || len(names) != 1 || len(seen) != 1 {
		t.Errorf("%d tokens, keys %v, %v", len(seen), names, err)
	}
}

// TestAServiceKeyGoesByItself: the bucket forgets what a process that died left.
func TestAServiceKeyGoesByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := auth.NewServiceTokens(w.js, "order").Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, err := w.js.Stream(t.Context(), "KV_"+auth.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ttl, err := time.ParseDuration(m.Header.Get(jetstream.MsgTTLHeader))
	if err != nil || ttl < 59*time.Minute || ttl > 61*time.Minute {
		t.Errorf("it is kept for %q, %v", m.Header.Get(jetstream.MsgTTLHeader), err)
	}
	if strings.Contains(string(m.Data), `"d"`) {
		t.Error("the private half is in the bucket")
	}
}

// TestWithoutNATSThereIsNoFirstToken, and the caller does not wait for it for ever.
func TestWithoutNATSThereIsNoFirstToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := auth.NewServiceTokens(w.js, "order")
	w.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if token, err := tokens.Token(ctx); err == nil || token != "" {
		t.Errorf("Token = %q, %v", token, err)
	}
	w.Restart(t)
	until(t, "there is a token", func() bool {
		_, err := tokens.Token(t.Context())
		return err == nil
	})
}
