package streams

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/pkg/bus"
)

// permit gathers the permissions of a service.
type permit struct {
	Permissions

	service string
	all     []Consumer // everybody's
}

func (p *permit) allow(subjects ...string) { p.Publish = append(p.Publish, subjects...) }

// own allows what a service does with a stream of its own. Outsiders publish to its
// intake, of which it needs the consumer alone.
func (p *permit) own(s jetstream.StreamConfig) {
	bucket, isBucket := strings.CutPrefix(s.Name, "KV_")
	switch {
	case isBucket && s.AllowAtomicPublish:
		p.model(bucket, slices.Contains(erased, s.Name))
	case isBucket:
		p.bucket(bucket)
		p.allow(s.Subjects...)
	case s.RePublish != nil:
		p.history(s)
	default:
		p.allow("$JS.API.STREAM.INFO." + s.Name)
	}
	if slices.Contains(erased, s.Name) {
		p.allow("$JS.API.STREAM.MSG.DELETE."+s.Name, "$JS.API.STREAM.MSG.GET."+s.Name) // to see that it is gone
	}
}

// eventDots is how many dots the subject of an event has; a claim has more.
const eventDots = 2

// history allows to append to a history, load from it and replay it, and to delete what
// does not belong there.
func (p *permit) history(s jetstream.StreamConfig) {
	p.follow(s.Name)
	for _, subject := range s.Subjects {
		if claim := strings.Count(subject, ".") > eventDots; !claim || slices.Contains(claims, p.service) {
			p.allow(subject)
		}
	}
	p.allow("$JS.API.DIRECT.GET."+s.Name+".>", "$JS.API.STREAM.MSG.DELETE."+s.Name)
	if slices.Contains(live, s.Name) {
		p.Subscribe = append(p.Subscribe, "feed."+s.RePublish.Source)
	}
}

// read allows to look up messages of a history: what comes before an event in hand.
func (p *permit) read(stream string) {
	p.allow("$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.MSG.GET."+stream, "$JS.API.DIRECT.GET."+stream)
}

// follow allows to read all of a history, one message after another.
func (p *permit) follow(stream string) {
	p.read(stream)
	p.consumers(stream)
	p.pull(stream)
}

// consumers allows to make consumers of a stream and delete them, but not to touch those
// that others own.
func (p *permit) consumers(stream string) {
	p.allow("$JS.API.CONSUMER.CREATE."+stream+".>", "$JS.API.CONSUMER.DELETE."+stream+".*")
	for _, c := range p.others(stream) {
		p.Deny = append(p.Deny, "$JS.API.CONSUMER.CREATE."+c, "$JS.API.CONSUMER.CREATE."+c+".>", "$JS.API.CONSUMER.DELETE."+c)
	}
}

// pull allows to ask consumers for messages, but not those that others own.
func (p *permit) pull(stream string) {
	p.allow("$JS.API.CONSUMER.MSG.NEXT." + stream + ".*")
	for _, c := range p.others(stream) {
		p.Deny = append(p.Deny, "$JS.API.CONSUMER.MSG.NEXT."+c)
	}
}

// others returns the declared consumers of a stream that are not this service's, each
// with its stream.
func (p *permit) others(stream string) []string {
	var names []string
	for _, c := range p.all {
		if c.Stream == stream && c.Config.Durable != p.service && !strings.HasPrefix(c.Config.Durable, p.service+"-") {
			names = append(names, stream+"."+c.Config.Durable)
		}
	}
	return names
}

// model allows to keep a read model, to build it anew beside the old one so many times, and
// to overwrite what it forgets.
func (p *permit) model(bucket string, erases bool) {
	const most = 9
	p.generation(bucket, erases)
	for n := 1; n <= most; n++ {
		next := fmt.Sprintf("%s-g%d", bucket, n)
		p.generation(next, erases)
		p.allow("$JS.API.STREAM.CREATE.KV_"+next, "$JS.API.STREAM.DELETE.KV_"+next)
	}
}

func (p *permit) generation(bucket string, erases bool) {
	stream := "KV_" + bucket
	p.allow("$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.MSG.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>", "$KV."+bucket+".>")
	p.watch(stream)
	p.pull(stream)
	if erases {
		p.allow("$JS.API.STREAM.MSG.DELETE." + stream)
	}
}

// watch allows to watch a bucket, whose server asks the watcher now and then how far it is.
// A watcher that has lost its consumer, with the node that had it, makes one without a name.
func (p *permit) watch(stream string) {
	p.consumers(stream)
	p.allow("$JS.API.CONSUMER.CREATE."+stream, "$JS.FC."+stream+".>")
}

// bucket allows to read a bucket that is no read model.
func (p *permit) bucket(name string) {
	stream, how := "KV_"+name, uses[name]
	p.allow("$JS.API.STREAM.INFO." + stream)
	if how.direct {
		p.allow("$JS.API.DIRECT.GET." + stream + ".>")
	}
	if how.leader {
		p.allow("$JS.API.STREAM.MSG.GET." + stream)
	}
	if how.watch {
		p.watch(stream)
	}
}

// handle allows what the groups of handlers of a service do with their consumers, with
// the dead letters that are redriven to them, and with timers; and what every service
// with groups must remember and tell.
func (p *permit) handle(consumers []Consumer) {
	if len(consumers) == 0 {
		return
	}
	for _, shared := range []string{BucketReactions, BucketSchemas} {
		p.bucket(shared)
		p.allow("$KV." + shared + ".>")
	}
	for _, c := range consumers {
		p.group(c)
	}
}

func (p *permit) group(c Consumer) {
	name := c.Stream + "." + c.Config.Durable
	create := "$JS.API.CONSUMER.CREATE." + name
	if filter := c.Config.FilterSubject; filter != "" {
		create += "." + filter
	}
	p.allow("$JS.API.STREAM.INFO."+c.Stream, "$JS.API.CONSUMER.INFO."+name, "$JS.API.CONSUMER.MSG.NEXT."+name, "$JS.ACK."+name+".>",
		create, "$JS.API.CONSUMER.RESET."+name)
	switch c.Stream {
	case DeadLetters:
		p.letters()
		return
	case bus.TimerStream:
		p.allow("timer.*." + p.service + ".*")
	}
	p.allow("deadletter." + c.Config.Durable + ".>")
}

// letters allows to read dead letters and to delete what is settled.
func (p *permit) letters() {
	p.allow("$JS.API.STREAM.INFO."+DeadLetters, "$JS.API.STREAM.MSG.GET."+DeadLetters, "$JS.API.STREAM.MSG.DELETE."+DeadLetters)
}

// answers allows to reply to those who call the service, or ask whether it is there. The
// permission that a request gives is forgotten with the connection on which it came: what
// a service answers after it has lost a server would reach nobody, who would wait for it
// until the time of the call is up.
func (p *permit) answers() {
	for caller, subjects := range calls {
		if slices.ContainsFunc(subjects, func(s string) bool { return s == "svc.>" || strings.HasPrefix(s, "svc."+p.service+".") }) {
			p.allow("_INBOX_" + caller + ".>")
		}
	}
	for _, asker := range asks {
		p.allow("_INBOX_" + asker + ".>")
	}
}
