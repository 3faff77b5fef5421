package eventstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// source says who answers a read.
type source int

const (
	// direct reads are answered by any replica, in one hop; they may be stale.
	direct source = iota
	// leader reads are answered by the stream's leader and are never stale.
	leader
)

var errNoMessage = errors.New("no such message")

// message is one stored message as a reader sees it.
type message struct {
	subject  string
	sequence uint64
	header   nats.Header
	data     []byte
}

// getRequest is the body of the server's message get APIs (ADR-31).
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
}

func (s *Store) last(ctx context.Context, subject string, from source) (message, error) {
	if from == leader {
		return s.getFromLeader(ctx, getRequest{Last: subject})
	}
	return s.getDirect(ctx, s.api+"DIRECT.GET."+s.stream.Name+"."+subject)
}

// allAt reads several sequences at once. A message that is not there fails it with
// errNoMessage.
func (s *Store) allAt(ctx context.Context, sequences []uint64, from source) ([]message, error) {
	messages := make([]message, len(sequences))
	if from == leader {
		const parallel = 12
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for i, sequence := range sequences {
			group.Go(func() (err error) {
				messages[i], err = s.getFromLeader(ctx, getRequest{Sequence: sequence})
				return err
			})
		}
		return messages, group.Wait()
	}
	bodies := make([][]byte, len(sequences))
	for i, sequence := range sequences {
		bodies[i] = append(strconv.AppendUint([]byte(`{"seq":`), sequence, 10), '}')
	}
	replies, err := s.fetcher.all(ctx, s.js.Conn(), s.api+"DIRECT.GET."+s.stream.Name, bodies)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.stream.Name, err)
	}
	for i, reply := range replies {
		if messages[i], err = s.read(reply); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

func (s *Store) getDirect(ctx context.Context, subject string) (message, error) {
	reply, err := s.request(ctx, subject, nil)
	if err != nil {
		return message{}, err
	}
	return s.read(reply)
}

// read returns the message in the reply to a direct get.
func (s *Store) read(reply *nats.Msg) (message, error) {
	switch status := reply.Header.Get("Status"); {
	case status == "404":
		return message{}, errNoMessage
	case status != "" && len(reply.Data) == 0 && reply.Header.Get(jetstream.SequenceHeader) == "":
		return message{}, fmt.Errorf("read %s: %s %s", s.stream.Name, status, reply.Header.Get("Description"))
	}
	sequence, err := strconv.ParseUint(lastValue(reply.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return message{}, fmt.Errorf("read %s: the reply names no sequence: %w", s.stream.Name, err)
	}
	return message{subject: lastValue(reply.Header, jetstream.SubjectHeader), sequence: sequence, header: reply.Header, data: reply.Data}, nil
}

// lastValue returns what the server wrote: it appends its headers to those that the
// message was published with, which may have the same names.
func lastValue(h nats.Header, name string) string {
	values := h[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// getFromLeader asks until there is a leader that answers, for readTimeout at most:
// while a new one is elected the server says that it is unavailable.
func (s *Store) getFromLeader(ctx context.Context, request getRequest) (message, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return message{}, fmt.Errorf("read %s: %w", s.stream.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for {
		m, err := s.askLeader(ctx, body)
		api, ok := errors.AsType[*jetstream.APIError](err)
		if !ok || api.Code != 503 {
			return m, err
		}
		if pause(ctx, retryPause) != nil {
			return message{}, err
		}
	}
}

func (s *Store) askLeader(ctx context.Context, body []byte) (message, error) {
	reply, err := s.request(ctx, s.api+"STREAM.MSG.GET."+s.stream.Name, body)
	if err != nil {
		return message{}, err
	}
	var response struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string `json:"subject"`
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &response); err != nil {
		return message{}, fmt.Errorf("read %s: %w", s.stream.Name, err)
	}
	if response.Error != nil {
		if response.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return message{}, errNoMessage
		}
		return message{}, fmt.Errorf("read %s: %w", s.stream.Name, response.Error)
	}
	m := message{subject: response.Message.Subject, sequence: response.Message.Sequence, data: response.Message.Data}
	if len(response.Message.Header) > 0 {
		if m.header, err = nats.DecodeHeadersMsg(response.Message.Header); err != nil {
			m.header = nil
		}
	}
	return m, nil
}

func (s *Store) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	reply, err := s.js.Conn().RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.stream.Name, err)
	}
	return reply, nil
}
