package streams

import (
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/auth"
)

// Permissions are the subjects that a user of NATS may publish and subscribe to. What
// is not allowed is denied, and what is denied is denied whatever else is allowed.
// Replies to requests go where the request says, for two minutes or until the connection is
// lost.
type Permissions struct {
	Publish, Deny []string
	Subscribe     []string
}

// folders are the owners with files of their own.
var folders = []string{"user", "order", "notification", "registry"}

// calls names the endpoints that a service calls in its own name, or passes on who asks.
var calls = map[string][]string{
	"order":    {"svc.user.get", "svc.user.requests.cancel"},
	"registry": {"svc.*.projection", "svc.*.requests.cancel"},
	"gateway":  {"svc.>"}, // its routes come from whoever serves
}

// signs names the services that publish keys of theirs: those that call others in their own
// name, and the one that issues the tokens of users.
var signs = []string{"order", "registry", "user"}

// asks names the services that ask everybody who is there.
var asks = []string{"registry", "gateway"}

// watches names the services that look how far behind all consumers are, and how many dead
// letters they have.
var watches = []string{"registry"}

// observes names the services that measure all streams and consumers.
var observes = []string{"registry"}

// follows names the histories that a service shows to others as they are.
var follows = map[string][]string{"gateway": {Users.Name, Orders.Name, Notifications.Name, Services.Name, Alerts.Name}}

// replicates names the histories of others that a service keeps read models of.
var replicates = map[string][]string{"order": {Users.Name}, "notification": {Users.Name}}

// claims names the services that make values unique in their history.
var claims = []string{"user"}

// takes names the intakes that a service publishes to on behalf of outsiders.
var takes = map[string][]string{"gateway": {UserIntake.Stream, OrderIntake.Stream}}

// letters names the services that read and delete all dead letters.
var letters = []string{"deadletter"}

// forgets names the services that look through all dead letters for those of erased users.
var forgets = []string{"user", "notification"}

// live names the histories whose services hear of their own events as they are stored.
var live = []string{Services.Name}

// erased are the streams of which single messages are overwritten: those with personal
// data or secrets. Histories are too, for their guards.
var erased = []string{
	UserIntake.Stream, "KV_" + BucketUsers, "KV_" + BucketNotificationUsers, "KV_" + BucketPasswords,
}

// use is how a service reads a bucket that is no read model.
type use struct {
	direct bool // single keys, as any replica has them
	leader bool // single keys, as they are
	watch  bool
}

// uses has the buckets that are no read models.
var uses = map[string]use{
	BucketOrderSnapshots:   {direct: true},
	BucketServiceSnapshots: {direct: true},
	BucketServiceChecks:    {leader: true},
	BucketPasswords:        {leader: true},
	BucketUserKeys:         {leader: true},
	BucketSigningKeys:      {leader: true},
	BucketLoginAttempts:    {leader: true},
	BucketSessions:         {leader: true, watch: true},
	BucketReactions:        {leader: true},
	BucketSchemas:          {leader: true},
	BucketKeys:             {leader: true, watch: true},
}

// PermissionsOf returns the least that a service needs when an administrator has set up
// the streams: to use what is its own, read the histories of others that it follows,
// and be asked. The names of consumers that the server makes up cannot be told apart,
// so a service may make and delete consumers of the streams that it reads, but not those
// that are declared for others.
//
// Two things cannot be permitted more narrowly, because NATS has one subject for all
// messages of a stream: whoever handles dead letters may delete any of them, and whoever
// reads a stream may read all of it.
func PermissionsOf(service string) (Permissions, error) {
	all, err := Load(folders...)
	if err != nil {
		return Permissions{}, err
	}
	shared, err := Load()
	if err != nil {
		return Permissions{}, err
	}
	own, err := Load(service)
	if err != nil {
		return Permissions{}, err
	}
	p := permit{service: service, all: all.Consumers}
	p.Subscribe = []string{
		"_INBOX_" + service + ".>", "svc." + service + ".>",
		"$SRV.*", "$SRV.*." + service, "$SRV.*." + service + ".*",
	}
	for _, s := range shared.Streams {
		p.allow("$JS.API.STREAM.INFO." + s.Name) // verified at the start, whether it uses them or not
	}
	p.bucket(auth.Bucket)
	if slices.Contains(signs, service) {
		p.allow("$KV." + auth.Bucket + "." + service + ".>")
	}
	for _, s := range own.Streams {
		if !shared.has(s.Name) {
			p.own(s)
		}
	}
	for _, s := range own.Foreign {
		p.read(s.Name)
	}
	for _, name := range slices.Concat(replicates[service], follows[service]) {
		p.follow(name)
	}
	for _, name := range takes[service] {
		p.allow(subjectsOf(all, name)...)
	}
	p.handle(own.Consumers)
	if slices.Contains(letters, service) {
		p.letters()
		for _, c := range all.Consumers {
			if c.Stream == DeadLetters {
				p.allow("$JS.API.CONSUMER.INFO." + DeadLetters + "." + c.Config.Durable)
			}
		}
		p.allow("deadletter.redrive.>")
	}
	if slices.Contains(forgets, service) {
		p.letters()
	}
	if slices.Contains(watches, service) {
		p.allow("$JS.API.DIRECT.GET." + DeadLetters)
		for _, c := range all.Consumers {
			p.allow("$JS.API.CONSUMER.INFO." + c.Stream + "." + c.Config.Durable)
		}
	}
	if slices.Contains(observes, service) {
		p.allow("$JS.API.STREAM.LIST", "$JS.API.CONSUMER.LIST.*") // how they are, and none of their messages or subjects
	}
	if slices.Contains(asks, service) {
		p.allow("$SRV.>")
	}
	p.allow(calls[service]...)
	p.answers()
	p.Publish = slices.Compact(slices.Sorted(slices.Values(p.Publish)))
	p.Deny = slices.Compact(slices.Sorted(slices.Values(p.Deny)))
	return p.Permissions, nil
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

func (s Set) has(stream string) bool {
	return slices.ContainsFunc(s.Streams, func(config jetstream.StreamConfig) bool { return config.Name == stream })
}

func subjectsOf(s Set, stream string) []string {
	for _, config := range s.Streams {
		if config.Name == stream {
			return config.Subjects
		}
	}
	panic(fmt.Sprintf("streams: there is no stream %s", stream))
}
