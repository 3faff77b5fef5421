package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// StateBucket is the KV bucket where consumers keep what must outlive them:
//
//	position.<stream>.<group>             how far the group is: see [Consumer.Start]
//	attempts.<stream>.<group>.<sequence>  attempts at a message that may have ended processes
//	inbox.<group>.<event>                 what [Handler.Recorded] has done
//
// Start creates the bucket when it is absent and may be created.
const StateBucket = "reactions"

// stateTimeout bounds one access to the bucket.
const stateTimeout = 5 * time.Second

// StateBucketConfig is the stream behind [StateBucket]. It answers from its leader
// alone, and its records may have a time to live.
func StateBucketConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "KV_" + StateBucket, Description: "What groups of handlers must remember: positions, attempts, effects",
		Subjects: []string{"$KV." + StateBucket + ".>"}, MaxMsgsPerSubject: 1,
		MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1, Replicas: 1, Duplicates: 2 * time.Minute,
		Discard: jetstream.DiscardNew, AllowRollup: true, AllowMsgTTL: true,
	}
}

// openState returns the bucket, which it creates when it is absent.
func openState(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, StateBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		if _, err := js.CreateStream(ctx, StateBucketConfig()); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil, fmt.Errorf("create bucket %s: %w", StateBucket, err)
		}
		kv, err = js.KeyValue(ctx, StateBucket)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", StateBucket, err)
	}
	return kv, nil
}

// put stores a record that goes by itself when it has not been touched for the time
// given; zero: never.
func put(ctx context.Context, js jetstream.JetStream, key string, value []byte, kept time.Duration, opts ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	if kept > 0 {
		opts = append(opts, jetstream.WithMsgTTL(kept))
	}
	_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + StateBucket + "." + key, Data: value}, opts...)
	return err
}
