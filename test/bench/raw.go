package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/event"
	"sluice/pkg/eventstore"
)

// rawAppender publishes with nats.go alone what Append would write for the same
// events: same subject length, headers, bytes and expectations. The message is built
// beforehand; each time only what differs is put into it.
func rawAppender(js jetstream.JetStream, stream eventstore.Stream, ids []string) (writer, error) {
	e, err := newFact(context.Background(), ids[0])
	if err != nil {
		return nil, err
	}
	e = disguised(e, stream.Entity)
	e.Version, e.Step = 1, 1
	msg := wire(e, 0)
	const linkHeader = "ce-previous"
	set := func(name, value string) { msg.Header[name] = []string{value} }
	var (
		version  uint64
		last     string
		previous []string // newest first
	)
	return func(ctx context.Context, i int) error {
		if i == 0 || ids[i] != ids[i-1] {
			version, last, previous = 0, "0", nil
			msg.Subject = e.Type + "." + ids[i]
			set("ce-subject", ids[i])
			set(jetstream.ExpectedLastSubjSeqSubjHeader, stream.Of(ids[i]))
			delete(msg.Header, linkHeader)
		} else {
			set(linkHeader, strings.Join(previous, ","))
		}
		version++
		set("ce-aggregateversion", strconv.FormatUint(version, 10))
		set(jetstream.ExpectedLastSubjSeqHeader, last)
		ack, err := js.PublishMsg(ctx, msg)
		if err != nil {
			return err
		}
		last = strconv.FormatUint(ack.Sequence, 10)
		previous = slices.Insert(previous, 0, last)
		previous = previous[:min(len(previous), event.MaxPrevious)]
		return nil
	}, nil
}
