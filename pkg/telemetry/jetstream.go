package telemetry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const (
	jetStreamAge     = 15 * time.Second // within which the server is not asked again
	jetStreamTimeout = 10 * time.Second // of looking at everything
	jetStreamStale   = 2 * time.Minute  // after which what was seen is not told any more
	mostStreams      = 200
	mostConsumers    = 500
)

// JetStream tells the state of all streams and durable consumers of an account, as
// metrics. It asks the server when metrics are collected, beside the collection, and
// not more often than every 15 seconds; so what it tells is of the collection before.
// One process for each account is enough. It needs to publish to $JS.API.STREAM.LIST and
// to $JS.API.CONSUMER.LIST.*, and is a part for package app to run.
type JetStream struct {
	js     jetstream.JetStream
	meters metric.MeterProvider
	log    *slog.Logger

	ask        chan struct{}
	cancel     context.CancelFunc
	registered metric.Registration
	asking     sync.WaitGroup

	mu      sync.Mutex
	seen    assets
	asked   time.Time
	failing bool // the log has it
}

// assets are streams and consumers.
type assets struct {
	streams   []*jetstream.StreamInfo
	consumers []*jetstream.ConsumerInfo
	unseen    int
}

// ObserveJetStream returns the observer of what js reaches. meters take what it sees;
// nil means the process's. log takes what goes wrong.
func ObserveJetStream(js jetstream.JetStream, meters metric.MeterProvider, log *slog.Logger) *JetStream {
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	return &JetStream{js: js, meters: meters, log: log, ask: make(chan struct{}, 1)}
}

// Start begins to look at the server when metrics are collected.
func (j *JetStream) Start(ctx context.Context) error {
	if err := j.register(); err != nil {
		return fmt.Errorf("meters of JetStream: %w", err)
	}
	ctx, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
	j.asking.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-j.ask:
				j.look(ctx)
			}
		}
	})
	return nil
}

// Stop tells nothing more.
func (j *JetStream) Stop(context.Context) error {
	err := j.registered.Unregister()
	j.cancel()
	j.asking.Wait()
	if err != nil {
		return fmt.Errorf("give up the meters of JetStream: %w", err)
	}
	return nil
}

// look asks the server for everything, unless that was done since it was wished for.
func (j *JetStream) look(ctx context.Context) {
	j.mu.Lock()
	recent := time.Since(j.asked) <= jetStreamAge
	j.mu.Unlock()
	if recent {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, jetStreamTimeout)
	defer cancel()
	found, err := j.list(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil && !j.failing && !errors.Is(err, context.Canceled) {
		j.log.WarnContext(ctx, "streams are not measured", "error", err)
	}
	if j.failing = err != nil; j.failing {
		found = assets{} // rather nothing than half of it
	}
	j.seen, j.asked = found, time.Now()
}

func (j *JetStream) list(ctx context.Context) (assets, error) {
	var found assets
	streams := j.js.ListStreams(ctx)
	for info := range streams.Info() {
		if len(found.streams) == mostStreams {
			found.unseen++
			continue
		}
		found.streams = append(found.streams, info)
	}
	if err := streams.Err(); err != nil {
		return found, fmt.Errorf("list the streams: %w", err)
	}
	for _, info := range found.streams {
		if info.State.Consumers == 0 {
			continue
		}
		if err := j.listConsumers(ctx, info.Config.Name, &found); err != nil {
			return found, fmt.Errorf("list the consumers of %s: %w", info.Config.Name, err)
		}
	}
	return found, nil
}

// listConsumers leaves out what comes and goes.
func (j *JetStream) listConsumers(ctx context.Context, name string, found *assets) error {
	for seen := 0; ; {
		page, err := j.consumerPage(ctx, name, seen)
		if err != nil {
			return err
		}
		for _, info := range page.Consumers {
			switch {
			case info.Config.Durable == "":
			case len(found.consumers) == mostConsumers:
				found.unseen++
			default:
				found.consumers = append(found.consumers, info)
			}
		}
		if seen += len(page.Consumers); len(page.Consumers) == 0 || seen >= page.Total {
			return nil
		}
	}
}

// consumerPage is a page of the answer to $JS.API.CONSUMER.LIST.<stream>.
type consumerPage struct {
	Total     int                       `json:"total"`
	Consumers []*jetstream.ConsumerInfo `json:"consumers"`
	Error     *jetstream.APIError       `json:"error"`
}

// consumerPage asks for the consumers of a stream from the nth on. The client would look
// at the stream before it does, which is one more right to have, and lets whoever has it
// ask for its subjects.
func (j *JetStream) consumerPage(ctx context.Context, stream string, from int) (page consumerPage, err error) {
	options := j.js.Options()
	prefix := cmp.Or(options.APIPrefix, jetstream.DefaultAPIPrefix)
	if options.Domain != "" {
		prefix = "$JS." + options.Domain + ".API."
	}
	body, err := json.Marshal(map[string]int{"offset": from})
	if err != nil {
		return page, err
	}
	answer, err := j.js.Conn().RequestWithContext(ctx, strings.TrimSuffix(prefix, ".")+".CONSUMER.LIST."+stream, body)
	if err != nil {
		return page, err
	}
	if err := json.Unmarshal(answer.Data, &page); err != nil {
		return page, fmt.Errorf("read the answer: %w", err)
	}
	switch {
	case page.Error == nil:
	case page.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		page = consumerPage{} // gone meanwhile
	default:
		return page, page.Error
	}
	return page, nil
}

// register makes the meters.
func (j *JetStream) register() error {
	meter := j.meters.Meter("sluice/pkg/telemetry")
	var errs []error
	var all []metric.Observable
	gauge := func(name, unit, description string) metric.Int64ObservableGauge {
		made, err := meter.Int64ObservableGauge("sluice.jetstream."+name, metric.WithUnit(unit), metric.WithDescription(description))
		errs, all = append(errs, err), append(all, made)
		return made
	}
	messages := gauge("stream.messages", "{message}", "Messages in a stream.")
	size := gauge("stream.size", "By", "Bytes of a stream.")
	used, err := meter.Float64ObservableGauge("sluice.jetstream.stream.used", metric.WithUnit("1"),
		metric.WithDescription("Part of its bound that a stream has reached, in messages or bytes."))
	errs, all = append(errs, err), append(all, used)
	consumers := gauge("stream.consumers", "{consumer}", "Consumers of a stream.")
	pending := gauge("consumer.pending", "{message}", "Messages that a durable consumer has not delivered yet.")
	unsettled := gauge("consumer.ack_pending", "{message}", "Messages delivered and not acknowledged.")
	again := gauge("consumer.redelivered", "{message}", "Messages not acknowledged that were delivered more than once.")
	waiting := gauge("consumer.waiting", "{request}", "Requests that wait for messages.")
	unseen := gauge("unseen", "{asset}", "Streams and consumers beyond those that are told.")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	j.registered, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now, known := j.present()
		if !known {
			return nil
		}
		for _, s := range now.streams {
			of := metric.WithAttributes(attribute.String("messaging.destination.name", s.Config.Name))
			o.ObserveInt64(messages, int64(s.State.Msgs), of)
			o.ObserveInt64(size, int64(s.State.Bytes), of)
			o.ObserveInt64(consumers, int64(s.State.Consumers), of)
			if part, bounded := usedOf(s); bounded {
				o.ObserveFloat64(used, part, of)
			}
		}
		for _, c := range now.consumers {
			of := metric.WithAttributes(attribute.String("messaging.destination.name", c.Stream), attribute.String("messaging.consumer.group.name", c.Name))
			o.ObserveInt64(pending, int64(c.NumPending), of)
			o.ObserveInt64(unsettled, int64(c.NumAckPending), of)
			o.ObserveInt64(again, int64(c.NumRedelivered), of)
			o.ObserveInt64(waiting, int64(c.NumWaiting), of)
		}
		o.ObserveInt64(unseen, int64(now.unseen))
		return nil
	}, all...)
	return err
}

// usedOf returns which part of its bounds a stream has reached, the larger one.
func usedOf(s *jetstream.StreamInfo) (part float64, bounded bool) {
	if most := s.Config.MaxMsgs; most > 0 {
		part, bounded = float64(s.State.Msgs)/float64(most), true
	}
	if most := s.Config.MaxBytes; most > 0 {
		part, bounded = max(part, float64(s.State.Bytes)/float64(most)), true
	}
	return part, bounded
}

// present returns what was seen last, and has it looked at again when that is not
// recent. Nothing is known when that failed or is too old.
func (j *JetStream) present() (now assets, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	age := time.Since(j.asked)
	if age > jetStreamAge {
		select {
		case j.ask <- struct{}{}:
		default:
		}
	}
	return j.seen, !j.failing && age <= jetStreamStale
}
