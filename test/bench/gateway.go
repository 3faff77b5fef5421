package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// gateways: orders over HTTP, through the gateway and through a hand-written handler
// that makes the same NATS request. Behind both is the order service, so the ratio
// tells what the gateway adds and not what an order costs.
func gateways() []contest {
	metrics := []metric{{unit: "req/s"}, {"p50", "µs", true}, {"p99", "µs", true}}
	var all []contest
	for _, callers := range []int{1, 16, 64} {
		for _, verb := range []string{http.MethodPost, http.MethodGet} {
			all = append(all, contest{
				name: fmt.Sprintf("http/%s order/%d", verb, callers), metrics: metrics,
				prepare: func(ctx context.Context, r *rig) (field, error) { return requesting(ctx, r, verb, callers) },
			})
		}
	}
	return all
}

func requesting(ctx context.Context, r *rig, verb string, callers int) (field, error) {
	if _, err := r.jetStream(ctx); err != nil {
		return field{}, err
	}
	services, err := r.launch(ctx, modeServices, r.url)
	if err != nil {
		return field{}, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	r.closers = append(r.closers, func() error {
		client.CloseIdleConnections()
		return nil
	})
	shop := shop{client: client, base: services.said["HTTP"]}
	order, id, err := shop.open(ctx)
	if err != nil {
		return field{}, err
	}
	each := r.size(4_000/callers, 10)
	turn := func(base string) round {
		s := shop
		s.base = base
		request := func(ctx context.Context, _ int) error {
			_, _, err := s.do(ctx, call{verb: verb, path: "/v1/orders/" + id, want: http.StatusOK})
			return err
		}
		if verb == http.MethodPost {
			request = func(ctx context.Context, _ int) error {
				_, _, err := s.do(ctx, order)
				return err
			}
		}
		return func(ctx context.Context, _ int) ([]float64, error) {
			all, took, err := timed(callers, each, request)
			if err != nil {
				return nil, err
			}
			figures, err := together(ctx, all, each)
			if err != nil {
				return nil, err
			}
			total := slices.Concat(took...)
			return append(figures, total.median(), total.quantile(0.99)), nil
		}
	}
	return field{ours: turn(shop.base), peers: []peer{{"net/http", turn(services.said["Plain"])}}}, nil
}

// timed returns writers that do something n times each, and where each of them notes how
// long it took, in microseconds.
func timed(writers, n int, do writer) (all []writer, took []sample, err error) {
	took = make([]sample, writers)
	next := 0
	all, err = crew(writers, func() (writer, error) {
		mine := &took[next]
		*mine = make(sample, 0, n)
		next++
		return func(ctx context.Context, i int) error {
			began := time.Now()
			err := do(ctx, i)
			*mine = append(*mine, microseconds(time.Since(began)))
			return err
		}, nil
	})
	return all, took, err
}

// shop is an HTTP server with the routes of orders, and who buys there.
type shop struct {
	client *http.Client
	base   string
	token  string // of who is logged in
}

type call struct {
	verb, path string
	body       []byte
	after      string // a position the answer must have reached
	want       int
}

const positionHeader = "Sluice-Position"

// open registers a user, who logs in and places an order, and waits until both can be
// read. It returns the call that places another order.
func (s *shop) open(ctx context.Context) (order call, id string, err error) {
	user, err := s.create(ctx, call{verb: http.MethodPost, path: "/v1/users", want: http.StatusCreated, body: []byte(
		`{"username":"bench","email":"bench@example.com","password":"correct horse"}`)})
	if err != nil {
		return call{}, "", err
	}
	session, err := s.create(ctx, call{verb: http.MethodPost, path: "/v1/sessions", want: http.StatusCreated, body: []byte(
		`{"login":"bench","password":"correct horse"}`)})
	if err != nil {
		return call{}, "", err
	}
	s.token = session.Token
	if err := s.await(ctx, "/v1/users/", user); err != nil {
		return call{}, "", err
	}
	order = call{verb: http.MethodPost, path: "/v1/orders", want: http.StatusCreated, body: []byte(
		`{"user_id":"` + user.ID + `","items":[{"product_id":"book","quantity":2,"price":{"number":"19.99","currency":"EUR"}}]}`)}
	placed, err := s.create(ctx, order)
	if err != nil {
		return call{}, "", err
	}
	return order, placed.ID, s.await(ctx, "/v1/orders/", placed)
}

// made is what of the answer to a creation is of interest here.
type made struct {
	ID       string `json:"id"`
	Token    string `json:"access_token"`
	position string
}

func (s *shop) create(ctx context.Context, c call) (m made, err error) {
	body, position, err := s.do(ctx, c)
	if err != nil {
		return made{}, err
	}
	m.position = position
	return m, json.Unmarshal(body, &m)
}

// await returns once what was made can be read.
func (s *shop) await(ctx context.Context, path string, m made) error {
	_, _, err := s.do(ctx, call{verb: http.MethodGet, path: path + m.ID, after: m.position, want: http.StatusOK})
	return err
}

func (s *shop) do(ctx context.Context, c call) (body []byte, position string, err error) {
	req, err := http.NewRequestWithContext(ctx, c.verb, s.base+c.path, bytes.NewReader(c.body))
	if err != nil {
		return nil, "", err
	}
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	if c.after != "" {
		req.Header.Set(positionHeader, c.after)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	body, err = io.ReadAll(res.Body)
	if err == nil && res.StatusCode != c.want {
		err = fmt.Errorf("%s %s: %s: %s", c.verb, c.path, res.Status, body)
	}
	return body, res.Header.Get(positionHeader), err
}
