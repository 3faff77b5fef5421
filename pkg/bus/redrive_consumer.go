package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// RedriveConsumer returns the name of the durable consumer on [DeadLetterStream] that
// brings the redriven letters of a group back to it, and the one subject it filters on.
// Pin it to one client, as the group's own consumer, unless the group's order is [Any].
func RedriveConsumer(group string) (name, filter string) {
	return group + redriveSuffix, "deadletter." + redriveToken + "." + group + ".>"
}

// startRedriven starts the consumer of redriven letters, if the group takes any. When
// that fails nothing runs.
func (c *Consumer) startRedriven(ctx context.Context) error {
	if c.group.Name == redriveToken {
		return errors.Join(fmt.Errorf("group %s: the name belongs to what redrives dead letters", c.group.Name), c.stop(ctx))
	}
	if c.redriven == nil {
		return nil
	}
	err := takesRedriven(ctx, c.js, c.group.Name)
	if err == nil {
		err = c.redriven.Start(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("group %s: take redriven letters: %w", c.group.Name, err), c.stop(ctx))
	}
	return nil
}

// takesRedriven returns nil when the group has its durable consumer of redriven
// letters.
func takesRedriven(ctx context.Context, js jetstream.JetStream, group string) error {
	name, filter := RedriveConsumer(group)
	consumer, err := js.Consumer(ctx, DeadLetterStream, name)
	if err != nil {
		return fmt.Errorf("look at consumer %s: %w", name, err)
	}
	cfg := consumer.CachedInfo().Config
	if filters := append(slices.Clone(cfg.FilterSubjects), cfg.FilterSubject); !slices.Equal(slices.DeleteFunc(filters, isEmpty), []string{filter}) {
		return fmt.Errorf("consumer %s does not filter on %s alone: %w", name, filter, jetstream.ErrConsumerNotFound)
	}
	return nil
}

func isEmpty(s string) bool { return s == "" }

// stopRedriven stops it, beside what else is stopped.
func (c *Consumer) stopRedriven(ctx context.Context) <-chan error {
	stopped := make(chan error, 1)
	if c.redriven == nil {
		stopped <- nil
		return stopped
	}
	go func() { stopped <- c.redriven.Stop(ctx) }()
	return stopped
}

func (c *Consumer) redrivenHealth() error {
	if c.redriven == nil {
		return nil
	}
	return c.redriven.Health()
}
