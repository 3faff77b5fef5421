// Package permissions_test runs every service with no more than its own permissions.
package permissions_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"sluice/streams"
	"sluice/test/program"
)

var services = []string{"user", "order", "notification", "deadletter", "registry", "gateway"}

// TestServicesNeedWhatTheyMay: with its own permissions each service does all of its work,
// NATS refuses it nothing, and there is no permission that none of that needs.
func TestServicesNeedWhatTheyMay(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	data := t.TempDir()
	env := []string{"SLUICE_REGISTRY_ALLOW_LOOPBACK=true", "SLUICE_ORDER_PENDING_TIMEOUT=1s", "SLUICE_REGISTRY_ALERTS_EVERY=100ms", "SLUICE_REGISTRY_ALERTS_AFTER=100ms"}
	running := make(map[string]*program.Process)
	for _, name := range services {
		running[name] = binary.Start(t, env, "--context", s.context(t, name), "--data", data, "--ops", "127.0.0.1:0", name)
	}
	w := work{secured: s, Client: running["gateway"].Client(t)}
	w.Eventually(t, http.StatusOK, http.MethodGet, "/readyz", nil)
	buyer := w.all(t)
	running["user"].Stop(t) // now the order service asks its own replica
	w.mailed(t, w.order(t, buyer))
	watched := program.Client{URL: running["registry"].Said(t, "Ops")}
	program.Until(t, "the registry measures the streams and consumers of others", func() bool {
		a := watched.Do(t, http.MethodGet, "/metrics", nil).Want(t, http.StatusOK)
		return strings.Contains(a.Body, `sluice_jetstream_stream_messages{messaging_destination_name="ORDERS"}`) &&
			strings.Contains(a.Body, `sluice_jetstream_consumer_pending{messaging_consumer_group_name="notification-orders",messaging_destination_name="ORDERS"}`) &&
			strings.Contains(a.Body, `sluice_registry_instances{sluice_service="order",sluice_service_status="healthy"} 1`)
	})
	for _, name := range services {
		if name != "user" {
			running[name].Stop(t)
		}
		for line := range strings.Lines(running[name].Stderr.String()) {
			if strings.Contains(line, "level=ERROR") && !strings.Contains(line, "became a dead letter") {
				t.Errorf("%s: %s", name, line)
			}
		}
		p, err := streams.PermissionsOf(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, unused := range s.trace.unused(name, p.Publish, p.Subscribe) {
			t.Error(unused)
		}
	}
}

// TestServicesMayDoNoMore: what belongs to others is refused, and so is everything to a
// stranger but what strangers are for.
func TestServicesMayDoNoMore(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	publish := func(subject string) attempt { return attempt{publish: true, subject: subject} }
	subscribe := func(subject string) attempt { return attempt{subject: subject} }
	for user, attempts := range map[string]map[attempt]bool{
		"order": {
			publish("order.created.x"):                                      true,
			publish("order.claim.name.x"):                                   false, // it makes nothing unique
			publish("user.created.x"):                                       false,
			publish("user.created"):                                         false,
			publish("order.created"):                                        false, // it has its own endpoints for that
			publish("svc.user.get"):                                         true,
			publish("svc.user.erase"):                                       false,
			publish("$KV.orders.x"):                                         true,
			publish("$KV.users.x"):                                          false,
			publish("$KV.passwords.x"):                                      false,
			publish("$KV.keys.order.x"):                                     true,
			publish("$KV.keys.user.x"):                                      false, // it would speak for users
			publish("$JS.API.STREAM.MSG.GET.KV_passwords"):                  false,
			publish("$JS.API.DIRECT.GET.KV_signing-keys"):                   false,
			publish("$JS.API.STREAM.CREATE.EVERYTHING"):                     false,
			publish("$JS.API.STREAM.DELETE.ORDERS"):                         false,
			publish("$JS.API.STREAM.PURGE.ORDERS"):                          false,
			publish("$JS.API.STREAM.MSG.DELETE.USERS"):                      false,
			publish("$JS.API.CONSUMER.DELETE.USERS.x"):                      true, // one that it made itself
			publish("$JS.API.CONSUMER.DELETE.USERS.user-guard"):             false,
			publish("$JS.API.CONSUMER.CREATE.KV_sessions.x"):                false,
			publish("$JS.API.DIRECT.GET.KV_passwords.$KV.passwords.x"):      false,
			publish("$JS.API.CONSUMER.UNPIN.ORDERS.order-guard"):            false,
			publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.notification-orders"): false,
			publish("$JS.ACK.ORDERS.notification-orders.1.2.3.4.5"):         false,
			publish("timer.set.order.x"):                                    true,
			publish("timer.set.user.x"):                                     false,
			publish("feed.order.created.x"):                                 false, // only the server makes copies
			publish("_INBOX_gateway.x"):                                     true,  // to answer after a reconnect
			publish("_INBOX_notification.x"):                                false,
			subscribe("svc.order.create"):                                   true,
			subscribe("svc.user.authenticate"):                              false, // with the passwords in it
			subscribe("_INBOX_user.x"):                                      false,
			subscribe("order.created.*"):                                    false,
			subscribe(">"):                                                  false,
		},
		"notification": {
			publish("svc.user.erase"):                         false,
			publish("notification.sent.x"):                    true,
			publish("order.created.x"):                        false,
			publish("$KV.notification-users.x"):               true,
			publish("$KV.users.x"):                            false,
			publish("deadletter.notification-users.x"):        true,
			publish("deadletter.order-intake.x"):              false,
			publish("$JS.ACK.ORDERS.notification-orders.1.2"): true,
		},
		"registry": {
			publish("alert.raised.x"):                                       true,
			publish("svc.order.projection"):                                 true,
			publish("svc.order.projection-rebuild"):                         false,
			publish("svc.order.create"):                                     false,
			publish("$JS.API.CONSUMER.INFO.ORDERS.notification-orders"):     true, // how far behind it is
			publish("$JS.API.CONSUMER.MSG.NEXT.ORDERS.notification-orders"): false,
			publish("$JS.API.DIRECT.GET.ORDERS"):                            false,
			publish("$JS.API.STREAM.MSG.GET.USERS"):                         false,
			publish("$JS.API.CONSUMER.CREATE.USERS.x"):                      false,
			publish("$JS.API.CONSUMER.DELETE.ORDERS.notification-orders"):   false,
			publish("$JS.API.STREAM.MSG.DELETE.DEADLETTERS"):                false,
			publish("$JS.API.STREAM.LIST"):                                  true, // it measures them
			publish("$JS.API.CONSUMER.LIST.ORDERS"):                         true,
			publish("$JS.API.STREAM.INFO.USERS"):                            false, // it could ask for the subjects
			publish("$JS.API.CONSUMER.CREATE.ORDERS.x"):                     false,
			publish("$JS.API.STREAM.DELETE.SERVICES"):                       false,
		},
		"user": {
			publish("$KV.keys.user.x"):         true,
			publish("$KV.signing-keys.x"):      true,
			publish("order.created.x"):         false,
			publish("svc.order.create"):        false,
			publish("_INBOX_order.x"):          true, // which calls it
			publish("_INBOX_notification.x"):   false,
			publish("$KV.keys.registry.x"):     false,
			publish("user.claim.email.x"):      true,
			subscribe("svc.user.authenticate"): true,
			subscribe("svc.order.create"):      false,
		},
		"gateway": {
			publish("svc.order.create"):                    true,
			publish("user.created"):                        true, // for those who may publish over HTTP
			publish("user.created.x"):                      false,
			publish("$KV.users.x"):                         false,
			publish("$JS.API.STREAM.MSG.GET.KV_passwords"): false,
			subscribe("svc.user.login"):                    false,
		},
		"outsider": {
			publish("user.created"):              true,
			publish("svc.order.create"):          true,
			publish("user.created.x"):            false,
			publish("user.claim.email.x"):        false,
			publish("$JS.API.INFO"):              false,
			publish("$JS.API.STREAM.NAMES"):      false,
			publish("$KV.users.x"):               false,
			publish("timer.set.order.x"):         false,
			publish("deadletter.order-intake.x"): false,
			subscribe("feed.order.>"):            true,
			subscribe("svc.order.create"):        false,
			subscribe("$SRV.PING"):               false, // it would be a service
			subscribe("_INBOX_order.x"):          false,
		},
		"system": {
			publish("user.created"): true, // into an account of its own, where nobody hears it
		},
	} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			for a, allowed := range attempts {
				if got := a.permitted(t, s, user); got != allowed {
					t.Errorf("%+v is permitted: %v", a, got)
				}
			}
		})
	}
}

// attempt is something that a user may or may not do.
type attempt struct {
	publish bool
	subject string
}

// permitted asks the server, whose answer to a ping comes after its complaints.
func (a attempt) permitted(t *testing.T, s secured, user string) bool {
	t.Helper()
	refused := make(chan error, 8)
	nc := s.connect(t, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	defer nc.Close()
	var err error
	if a.publish {
		err = nc.PublishRequest(a.subject, nc.NewRespInbox(), nil)
	} else {
		_, err = nc.SubscribeSync(a.subject)
	}
	if err := errors.Join(err, nc.FlushTimeout(program.Patience)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatalf("%+v: %v", a, err)
		}
		return false
	default:
		return nc.LastError() == nil
	}
}

// TestAStrangerGetsNothing: without a key of the cluster, or without trust in it,
// nobody connects.
func TestAStrangerGetsNothing(t *testing.T) {
	t.Parallel()
	s := startSecured(t)
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	trusting := nats.RootCAs(filepath.Join(s.dir, "ca.pem"))
	for name, options := range map[string][]nats.Option{
		"nobody":        {trusting},
		"a key of ours": {trusting, nats.Nkey(public, pair.Sign)},
		"a password":    {trusting, nats.UserInfo("admin", "admin")},
		"no authority":  {nats.UserInfo("admin", "admin")},
	} {
		nc, err := nats.Connect(s.url, options...)
		if err == nil {
			nc.Close()
			t.Errorf("%s got in", name)
		}
	}
}
