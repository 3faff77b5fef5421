package bus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/telemetry"
)

// TimerStream is the stream of timers. Under timer.set.<entity>.<id> lies the timer of
// an aggregate until its time has come, under timer.due.<entity>.<id> an event whose
// time has come until it is handled. It is the server that moves it from the one to
// the other: a service needs the permission to publish on timer.set.<entity>.* alone.
const TimerStream = "TIMERS"

// ErrTimerRange says that a time is too far away for a timer, which the server keeps
// as nanoseconds since 1970 in 64 bits: the last is in the year 2262.
var ErrTimerRange = errors.New("too far in the future for a timer")

// At sets a timer: once t has come, e comes to the group that handles the due timers
// of its entity, under timer.due.<entity>.<id>. When At returns nil, the timer is
// stored. A time that is past is due at once.
//
// e's entity and subject name the aggregate. An aggregate has one timer, and setting
// it again replaces it: the same call twice is one timer. [CancelTimer] calls it back.
//
//	overdue, err := timers.New(ctx, orderID, Lapsed{…})
//	err = bus.At(ctx, js, placed.Add(30*time.Minute), overdue)
//	…
//	bus.Consume(js, bus.Group{Stream: bus.TimerStream, Name: "order-due"}, bus.Config{}, bus.On(lapsed))
//
// The server's clock counts, and the event comes up to half a second late; if the
// server is down then, once it is up. It comes at least once, and may come although
// the timer was replaced or called back in the moment it was due. Then the replacement
// may be gone, because what is due takes the place of what is set. So a handler looks
// whether the reason is still there: if not, it does nothing, and if its time has not
// come, it sets the timer again.
//
// A server whose storage is full refuses to set a timer, and keeps back those that are
// due: they come when it restarts, when the stream gets another leader, or when they
// are set again.
func At(ctx context.Context, js jetstream.JetStream, t time.Time, e event.Event) error {
	if err := publishTimer(ctx, js, t, e); err != nil {
		return fmt.Errorf("set timer of %s %s: %w", e.Entity(), e.Subject, err)
	}
	return nil
}

func publishTimer(ctx context.Context, js jetstream.JetStream, t time.Time, e event.Event) error {
	if err := errors.Join(event.CheckType(e.Type), event.CheckID(e.Subject), e.Validate()); err != nil {
		return err
	}
	if t.After(time.Unix(0, math.MaxInt64)) {
		return fmt.Errorf("%w: %s", ErrTimerRange, t.UTC().Format(time.RFC3339))
	}
	if epoch := time.Unix(0, 0); t.Before(epoch) {
		t = epoch
	}
	if e.TraceParent == "" {
		e.TraceParent, e.TraceState = telemetry.TraceParent(ctx)
	}
	header, data := event.Encode(e)
	header[jetstream.ScheduleHeader] = []string{"@at " + t.UTC().Format(time.RFC3339Nano)}
	header[jetstream.ScheduleTargetHeader] = []string{dueSubject(e.Entity(), e.Subject)}
	msg := &nats.Msg{Subject: setSubject(e.Entity(), e.Subject), Header: header, Data: data}
	_, err := js.PublishMsg(ctx, msg, jetstream.WithExpectStream(TimerStream))
	return err
}

// CancelTimer calls back the timer of an aggregate; one that has none stays without.
// The event may come all the same when its time has just come, so calling back keeps
// the stream tidy and decides nothing: see [At].
func CancelTimer(ctx context.Context, js jetstream.JetStream, entity, id string) error {
	if err := event.CheckID(id); err != nil {
		return fmt.Errorf("cancel timer: %w", err)
	}
	// What replaces the timer goes away by itself.
	msg := &nats.Msg{Subject: setSubject(entity, id), Header: nats.Header{
		jetstream.MsgRollup: {jetstream.MsgRollupSubject}, jetstream.MsgTTLHeader: {"1s"},
	}}
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithExpectStream(TimerStream)); err != nil {
		return fmt.Errorf("cancel timer of %s %s: %w", entity, id, err)
	}
	return nil
}

func setSubject(entity, id string) string { return "timer.set." + entity + "." + id }

func dueSubject(entity, id string) string { return "timer.due." + entity + "." + id }
