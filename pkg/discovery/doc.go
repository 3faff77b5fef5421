// Package discovery tells which instances of services run now. It asks them: every
// NATS micro service answers on $SRV.PING, $SRV.INFO and $SRV.STATS, so nobody has to
// register and nothing can be left behind by a process that died.
//
//	found := discovery.New(nc, discovery.Config{})
//	instances, err := found.Instances(ctx, "order") // every instance of order
//	all, err := found.All(ctx)                      // every instance of everything
//
// # What an error means
//
// An outage is an error, never an empty list. [ErrUnreachable] says that there is no
// connection to NATS, so nothing is known. [ErrNoInstances] is NATS's own word that
// nobody serves this. [ErrTimeout] says that somebody serves it and did not answer in
// time.
//
// # How fresh an answer is
//
// Nobody knows how many answers will come. A first question waits [Config.Collect] for
// them. A later one ends as soon as every instance that answered before has answered
// again and [Config.Grace] has passed, which catches those that are new. An answer
// serves all callers for [Config.TTL], so questions go out at that rate at most,
// however many ask.
//
// NATS tells nobody when an instance comes or goes. [Client.Watch] asks every
// [Config.Interval], give or take a fifth so that watchers do not ask in step, and at
// once when told to by [Client.Recheck]: call that when a request found no responders.
// Somebody new is seen after one interval. Somebody missing is asked once more and has
// left when it is still silent, so one lost answer is no departure, and a departure is
// seen after two intervals.
package discovery
