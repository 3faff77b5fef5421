package streams

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
	"sluice/pkg/bus"
)

// Permissions are the subjects that a user of NATS may publish and subscribe to. What
// is not allowed is denied, and what is denied is denied whatever else is allowed.
// Replies to requests go where the request says, for two minutes.
type Permissions struct {
	Publish, Deny []string
	Subscribe     []string
}

// folders are the owners with files of their own.
var folders = []string{"user", "order", "notification", "registry"}

// calls names the endpoints that a service calls.
var calls = map[string][]string{
	"order":   {"svc.user.get", "svc.user.requests.cancel"},
	"gateway": {"svc.>"}, // its routes come from whoever serves
}

// asks names the services that ask everybody who is there.
var asks = []string{"registry", "gateway"}

// follows names the histories that a service shows to others as they are.
var follows = map[string][]string{"gateway": {Users.Name, Orders.Name, Notifications.Name, Services.Name}}

// takes names the intakes that a service publishes to on behalf of outsiders.
var takes = map[string][]string{"gateway": {UserIntake.Stream, OrderIntake.Stream}}

// letters names the services that read and delete all dead letters.
var letters = []string{"deadletter"}

// PermissionsOf returns the least that a service needs when an administrator has set up
// the streams: to use what is its own, read the histories of others that it follows,
// and be asked. The names of consumers that the server makes up cannot be told apart,
// so a service may make, read and delete consumers of the streams that it reads, but not
// those that are declared for others.
//
// Two things cannot be permitted more narrowly, because NATS has one subject for all
// messages of a stream: whoever handles dead letters may delete any of them, and whoever
// reads a stream may read all of it.
func PermissionsOf(service string) (Permissions, error) {
	all, err := Load(folders...)
	if err != nil {
		return Permissions{}, err
	}
	own, err := Load(service)
	if err != nil {
		return Permissions{}, err
	}
	b := permit{service: service, all: all.Consumers}
	b.Subscribe = []string{
		"_INBOX_" + service + ".>", "svc." + service + ".>",
		"$SRV.*", "$SRV.*." + service, "$SRV.*." + service + ".*",
	}
	b.allow("$JS.API.INFO")
	for _, s := range own.Streams {
		b.stream(s)
	}
	for _, s := range own.Foreign {
		b.read(s.Name)
	}
	for _, name := range follows[service] {
		b.read(name)
	}
	for _, name := range takes[service] {
		b.allow("$JS.API.STREAM.INFO." + name)
		b.allow(subjectsOf(all, name)...)
	}
	for _, c := range own.Consumers {
		b.consume(c)
	}
	if slices.Contains(letters, service) {
		b.read(DeadLetters)
		b.allow("$JS.API.STREAM.MSG.DELETE."+DeadLetters, "deadletter.redrive.>")
	}
	if slices.Contains(asks, service) {
		b.allow("$SRV.>")
	}
	b.allow(calls[service]...)
	b.Publish = slices.Compact(slices.Sorted(slices.Values(b.Publish)))
	b.Deny = slices.Compact(slices.Sorted(slices.Values(b.Deny)))
	return b.Permissions, nil
}

// Outsider returns what a stranger may do whom an operator lets publish events: put them
// into the intakes, watch live copies, and call endpoints, which ask for a token.
func Outsider() (Permissions, error) {
	all, err := Load(folders...)
	if err != nil {
		return Permissions{}, err
	}
	p := Permissions{Publish: []string{"svc.>", "$SRV.>"}, Subscribe: []string{"_INBOX.>", "feed.>"}}
	for _, intake := range []string{UserIntake.Stream, OrderIntake.Stream} {
		p.Publish = append(p.Publish, subjectsOf(all, intake)...)
	}
	return p, nil
}

func subjectsOf(s Set, stream string) []string {
	for _, config := range s.Streams {
		if config.Name == stream {
			return config.Subjects
		}
	}
	panic(fmt.Sprintf("streams: there is no stream %s", stream))
}

// permit gathers the permissions of a service.
type permit struct {
	Permissions

	service string
	all     []Consumer // everybody's
}

func (p *permit) allow(subjects ...string) { p.Publish = append(p.Publish, subjects...) }

// stream allows what a service does with a stream that is its own or everybody's.
func (p *permit) stream(s jetstream.StreamConfig) {
	p.read(s.Name)
	switch s.Name {
	case UserIntake.Stream, OrderIntake.Stream:
		// Outsiders publish there; its consumer is all that its owner needs.
	case DeadLetters, bus.TimerStream:
		// By consumer, below.
	case "KV_" + auth.Bucket:
		p.allow("$KV." + auth.Bucket + "." + p.service + ".>")
	case "KV_" + BucketReactions, "KV_" + BucketSchemas:
		p.allow(s.Subjects...)
	default:
		p.allow(s.Subjects...)
		if s.RePublish != nil {
			p.Subscribe = append(p.Subscribe, "feed."+s.RePublish.Source)
		}
		if !s.DenyDelete {
			p.allow("$JS.API.STREAM.MSG.DELETE." + s.Name)
		}
		if bucket, ok := strings.CutPrefix(s.Name, "KV_"); ok && s.AllowAtomicPublish {
			p.generations(bucket) // a read model: nothing else is written in batches there
		}
	}
}

// generations allows to build a read model anew beside the old one, so many times.
func (p *permit) generations(bucket string) {
	const most = 9
	for n := 1; n <= most; n++ {
		next := fmt.Sprintf("%s-g%d", bucket, n)
		p.allow("$KV."+next+".>", "$JS.API.STREAM.CREATE.KV_"+next, "$JS.API.STREAM.DELETE.KV_"+next)
		p.read("KV_" + next)
	}
}

// read allows to read a stream, but not to touch consumers that others own.
func (p *permit) read(stream string) {
	p.allow(
		"$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.MSG.GET."+stream,
		"$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>",
		"$JS.API.CONSUMER.CREATE."+stream+".>", "$JS.API.CONSUMER.DELETE."+stream+".*",
		"$JS.API.CONSUMER.INFO."+stream+".*", "$JS.API.CONSUMER.MSG.NEXT."+stream+".*",
		"$JS.FC."+stream+".>",
	)
	for _, c := range p.all {
		if c.Stream == stream && !p.owns(c) {
			name := stream + "." + c.Config.Durable
			p.Deny = append(p.Deny, "$JS.API.CONSUMER.CREATE."+name, "$JS.API.CONSUMER.CREATE."+name+".>",
				"$JS.API.CONSUMER.DELETE."+name, "$JS.API.CONSUMER.MSG.NEXT."+name)
		}
	}
}

func (p *permit) owns(c Consumer) bool {
	return c.Config.Durable == p.service || strings.HasPrefix(c.Config.Durable, p.service+"-")
}

// consume allows what a group of handlers does with its consumer, its dead letters and
// those that are redriven to it, and with timers.
func (p *permit) consume(c Consumer) {
	name := c.Stream + "." + c.Config.Durable
	p.read(c.Stream)
	p.allow("$JS.ACK."+name+".>", "$JS.API.CONSUMER.RESET."+name, "$JS.API.CONSUMER.UNPIN."+name,
		"deadletter."+c.Config.Durable+".>")
	switch c.Stream {
	case DeadLetters:
		p.allow("$JS.API.STREAM.MSG.DELETE." + DeadLetters)
	case bus.TimerStream:
		p.allow("timer.*." + p.service + ".*")
	}
}
