package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/pkg/auth"
	"sluice/pkg/natstest"
)

func TestANewKeyIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	v := w.verifier(t, auth.Config{})
	for i := range 5 {
		s := newSigner(t, fmt.Sprintf("user.%d", i))
		w.publish(t, s)
		if id, err := v.Verify(t.Context(), s.token(t, good("user"), nil)); err != nil || id.User != "ada" {
			t.Errorf("%+v, %v", id, err)
		}
	}
}

// TestAVerifierThatIsNotStartedLooks: the look-up alone finds a key.
func TestAVerifierThatIsNotStartedLooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, "user.1")
	w.publish(t, s)
	v := auth.NewVerifier(w.js, auth.Config{})
	if id, err := v.Verify(t.Context(), s.token(t, good("user"), nil)); err != nil || id.User != "ada" {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestARemovedKeyTakesItsTokensAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, other := newSigner(t, "user.1"), newSigner(t, "user.2")
	w.publish(t, s)
	w.publish(t, other)
	v := w.verifier(t, auth.Config{LookUps: 1000})
	token, stays := s.token(t, good("user"), nil), other.token(t, good("user"), nil)
	for _, text := range []string{token, stays} {
		if _, err := v.Verify(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.keys.Delete(t.Context(), s.id); err != nil {
		t.Fatal(err)
	}
	until(t, "the token is refused", func() bool {
		_, err := v.Verify(t.Context(), token)
		return errors.Is(err, auth.ErrRefused)
	})
	mustRefuse(t, v, s.token(t, good("user"), nil))
	if _, err := v.Verify(t.Context(), stays); err != nil {
		t.Error(err)
	}
	w.publish(t, s) // and comes back
	until(t, "the token is good again", func() bool {
		_, err := v.Verify(t.Context(), token)
		return err == nil
	})
}

// TestAnotherKeyUnderTheName: what the key before it signed is no good any more.
func TestAnotherKeyUnderTheName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, next := newSigner(t, "user.1"), newSigner(t, "user.1")
	w.publish(t, s)
	v := w.verifier(t, auth.Config{})
	token := s.token(t, good("user"), nil)
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	w.publish(t, next)
	until(t, "the token is refused", func() bool {
		_, err := v.Verify(t.Context(), token)
		return errors.Is(err, auth.ErrRefused)
	})
	if _, err := v.Verify(t.Context(), next.token(t, good("user"), nil)); err != nil {
		t.Error(err)
	}
}

// TestKnownKeysOutliveNATS: without the server what is known goes on, and what is not
// known is nobody's fault.
func TestKnownKeysOutliveNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, unknown := newSigner(t, "user.1"), newSigner(t, "user.2")
	w.publish(t, s)
	v := w.verifier(t, auth.Config{})
	w.Stop()
	if id, err := v.Verify(t.Context(), s.token(t, good("user"), nil)); err != nil || id.User != "ada" {
		t.Errorf("%+v, %v", id, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := v.Verify(ctx, unknown.token(t, good("user"), nil))
	if err == nil || errors.Is(err, auth.ErrRefused) {
		t.Errorf("without NATS an unknown key leads to %v", err)
	}
	w.Restart(t)
	w.publish(t, unknown)
	until(t, "the new key is known", func() bool {
		_, err := v.Verify(t.Context(), unknown.token(t, good("user"), nil))
		return err == nil
	})
}

// TestABucketMadeAnew: after the resync what the old one had is gone, and a bucket that
// comes late is followed.
func TestABucketMadeAnew(t *testing.T) {
	t.Parallel()
	w := world{Server: natstest.Start(t)}
	w.js = w.JetStream(t)
	v := w.verifier(t, auth.Config{Resync: 50 * time.Millisecond, LookUps: 1000})
	mustFail := newSigner(t, "user.1")
	if _, err := v.Verify(t.Context(), mustFail.token(t, good("user"), nil)); err == nil {
		t.Error("a token is good without any key")
	}
	w.keys = makeBuckets(t, w.js)
	s := newSigner(t, "user.2")
	w.publish(t, s)
	token := s.token(t, good("user"), nil)
	until(t, "the key is known", func() bool {
		_, err := v.Verify(t.Context(), token)
		return err == nil
	})
	for _, name := range []string{"KV_" + auth.Bucket, "KV_ring"} {
		if err := w.js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	w.keys = makeBuckets(t, w.js)
	until(t, "the token is refused", func() bool {
		_, err := v.Verify(t.Context(), token)
		return errors.Is(err, auth.ErrRefused)
	})
}

// TestMadeUpNamesAreNotLookedForWithoutEnd counts what reaches the server.
func TestMadeUpNamesAreNotLookedForWithoutEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known := newSigner(t, "user.known")
	w.publish(t, known)
	var clock clock
	frozen := clock.now()
	v := auth.NewVerifier(w.js, auth.Config{LookUps: 3, Now: func() time.Time { return frozen }})
	startVerifier(t, v)
	asked := w.Connect(t)
	gets, err := asked.SubscribeSync("$JS.API.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := asked.Flush(); err != nil {
		t.Fatal(err)
	}
	garbage := newSigner(t, "user.x")
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			token := garbage.token(t, good("user"), map[string]any{"kid": fmt.Sprintf("user.%d", i)})
			if _, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrRefused) {
				t.Errorf("it says %v", err)
			}
		})
	}
	all.Wait()
	if err := asked.Flush(); err != nil {
		t.Fatal(err)
	}
	looked := 0
	for {
		m, err := gets.NextMsg(50 * time.Millisecond)
		if err != nil {
			break
		}
		if m.Subject == "$JS.API.STREAM.MSG.GET.KV_keys" || len(m.Subject) > 15 && m.Subject[:15] == "$JS.API.DIRECT." {
			looked++
		}
	}
	if looked != 3 {
		t.Errorf("200 names that nobody has were looked for %d times, want 3", looked)
	}
	if _, err := v.Verify(t.Context(), known.token(t, good("user"), nil)); err != nil {
		t.Errorf("a known key suffers: %v", err)
	}
}

// TestGarbageInTheBucket is left out, and harms no other key.
func TestGarbageInTheBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, "user.1")
	for key, value := range map[string]string{
		"user.2": "", "user.3": "garbage", "user.4": "{}", "a": "{}", "a.b.c": "{}", "Order.1": "{}",
		"user.5": `{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"user.5","alg":"EdDSA","use":"sig","exp":99999999999}`,
		"user.6": `{"kty":"oct","k":"AAAA","kid":"user.6","alg":"HS256","use":"sig","exp":99999999999}`,
		"user.7": string(s.jwk(time.Now().Add(time.Hour))),
	} {
		if _, err := w.keys.PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	w.publish(t, s)
	v := w.verifier(t, auth.Config{LookUps: 1000})
	for _, key := range []string{"user.2", "user.3", "user.4", "user.5", "user.6", "user.7"} {
		mustRefuse(t, v, s.token(t, good("user"), map[string]any{"kid": key}))
	}
	if _, err := v.Verify(t.Context(), s.token(t, good("user"), nil)); err != nil {
		t.Error(err)
	}
}

// TestStopLeavesWhatIsKnown, and nothing that runs.
func TestStopLeavesWhatIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSigner(t, "user.1")
	w.publish(t, s)
	v := auth.NewVerifier(w.js, auth.Config{})
	if err := v.Stop(t.Context()); err != nil {
		t.Errorf("one that never ran: %v", err)
	}
	if err := v.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := v.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), s.token(t, good("user"), nil)); err != nil {
		t.Error(err)
	}
	until(t, "the watch is gone", func() bool {
		stream, err := w.js.Stream(t.Context(), "KV_"+auth.Bucket)
		return err == nil && stream.CachedInfo().State.Consumers == 0
	})
}
