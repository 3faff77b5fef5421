package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/endpoint"
	"sluice/pkg/natstest"
)

// What a handler meets while a cluster elects a leader is nobody's fault: callers are told
// to come again.
func TestWhatNATSCannotDoNow(t *testing.T) {
	t.Parallel()
	_, nobody := natstest.Start(t).JetStream(t).Publish(t.Context(), "nobody.takes.this", nil)
	for _, row := range []struct {
		err  error
		want endpoint.Code
	}{
		{nobody, endpoint.CodeUnavailable},
		{nats.ErrNoResponders, endpoint.CodeUnavailable},
		{nats.ErrConnectionClosed, endpoint.CodeUnavailable},
		{&jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "system temporarily unavailable"}, endpoint.CodeUnavailable},
		{&jetstream.APIError{Code: 400, ErrorCode: 10071}, endpoint.CodeInternal},
		{nats.ErrTimeout, endpoint.CodeDeadline},
		{context.DeadlineExceeded, endpoint.CodeDeadline},
		{errors.New("anything else"), endpoint.CodeInternal},
		{endpoint.Conflict("taken").Because(nobody), endpoint.CodeConflict},
	} {
		if got := endpoint.CodeOf(fmt.Errorf("store it: %w", row.err)); got != row.want {
			t.Errorf("%v is %s, not %s", row.err, got, row.want)
		}
	}
}
