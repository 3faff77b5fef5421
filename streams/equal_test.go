package streams_test

import (
	"reflect"

	"github.com/nats-io/nats.go/jetstream"
)

func equalStream(got, want jetstream.StreamConfig) bool {
	got.Metadata, want.Metadata = ownMetadata(got.Metadata), ownMetadata(want.Metadata)
	return reflect.DeepEqual(got, want)
}

func equalConsumer(got, want jetstream.ConsumerConfig) bool {
	got.Metadata, want.Metadata = ownMetadata(got.Metadata), ownMetadata(want.Metadata)
	return reflect.DeepEqual(got, want)
}
