package natstest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Behind returns a JetStream context whose direct reads are answered as by a replica that
// has got nothing more since each was made for the first time. Everything else is answered
// by the server, as by a stream's leader. Direct reads of many messages at once are.
func (s *Server) Behind(t testing.TB) jetstream.JetStream {
	t.Helper()
	const prefix, patience = "behind.", 10 * time.Second
	nc := s.Connect(t)
	var first sync.Map // replies by request
	if _, err := nc.Subscribe(prefix+">", func(m *nats.Msg) {
		subject, body := jetstream.DefaultAPIPrefix+strings.TrimPrefix(m.Subject, prefix), string(m.Data)
		if !strings.HasPrefix(subject, jetstream.DefaultAPIPrefix+"DIRECT.GET.") || strings.Contains(body, "batch") || strings.Contains(body, "multi_last") {
			if err := nc.PublishRequest(subject, m.Reply, m.Data); err != nil {
				t.Errorf("natstest: pass a request on: %v", err)
			}
			return
		}
		known, seen := first.Load(subject + " " + body)
		if !seen {
			reply, err := nc.Request(subject, m.Data, patience)
			if err != nil {
				t.Errorf("natstest: read for a replica: %v", err)
				return
			}
			known, _ = first.LoadOrStore(subject+" "+body, reply)
		}
		reply := known.(*nats.Msg)
		if err := m.RespondMsg(&nats.Msg{Header: reply.Header, Data: reply.Data}); err != nil {
			t.Errorf("natstest: answer as a replica: %v", err)
		}
	}); err != nil {
		t.Fatalf("natstest: stand in for a replica: %v", err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatalf("natstest: stand in for a replica: %v", err)
	}
	js, err := jetstream.NewWithAPIPrefix(s.Connect(t), prefix)
	if err != nil {
		t.Fatalf("natstest: JetStream: %v", err)
	}
	return js
}
