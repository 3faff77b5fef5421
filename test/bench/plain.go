package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/pkg/app"
	"sluice/services/order/orderapi"
)

// plainService is what one writes by hand instead of the gateway: net/http in front of
// one raw NATS request, with nothing checked and nothing told; who asks is the endpoint's
// to find out. It runs in the process of the gateway and on the same kind of connection.
var plainService = app.Service{Name: "plain", Run: func(ctx context.Context, env app.Env) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/orders", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		relay(w, r, env.NATS, orderapi.Create.Subject(), http.StatusCreated, body)
	})
	mux.HandleFunc("GET /v1/orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		relay(w, r, env.NATS, orderapi.Get.Subject(), http.StatusOK, []byte(`{"id":"`+r.PathValue("id")+`"}`))
	})
	return env.Run(ctx, &plainServer{
		server:   &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
		announce: func(address string) { env.Announce("Plain", "http://"+address) },
	})
}}

func relay(w http.ResponseWriter, r *http.Request, nc *nats.Conn, subject string, success int, body []byte) {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	header := nats.Header{"Authorization": r.Header["Authorization"]}
	reply, err := nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Header: header, Data: body})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if reply.Header.Get("Nats-Service-Error-Code") != "" {
		success = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(success)
	if _, err := w.Write(reply.Data); err != nil {
		return // the client is gone
	}
}

// plainServer is an [app.Part].
type plainServer struct {
	server   *http.Server
	announce func(address string)
	serving  chan error
}

// Start listens on a free port.
func (s *plainServer) Start(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.serving = make(chan error, 1)
	go func() { s.serving <- s.server.Serve(listener) }()
	s.announce(listener.Addr().String())
	return nil
}

// Stop waits for requests in flight.
func (s *plainServer) Stop(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if served := <-s.serving; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
