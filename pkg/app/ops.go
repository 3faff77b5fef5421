package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"sluice/pkg/telemetry"
)

const (
	opsTimeout    = 10 * time.Second // of one request
	opsAskTimeout = 3 * time.Second  // what the command health waits
	opsMaxState   = 64 << 10
)

// ops shows those who run a process how it is. It is not for the outside: nobody is
// asked for a token.
//
//	/healthz  the process runs
//	/readyz   all its services run and are well; else 503 and a line for each trouble
//	/metrics  what it measures, as Prometheus reads it
type ops struct {
	listener net.Listener
	server   *http.Server
	ended    chan error
}

func listenOps(ctx context.Context, address string, s *supervisor, log *slog.Logger) (*ops, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		if call, ok := errors.AsType[*os.SyscallError](err); ok {
			err = call.Err // without the name of the call
		}
		return nil, fmt.Errorf("ops: listen on %s: %w", address, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerState(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answerState(w, s.ready()) })
	mux.Handle("GET /metrics", telemetry.MetricsHandler())
	o := &ops{
		listener: listener, ended: make(chan error, 1),
		server: &http.Server{
			Handler: mux, ReadTimeout: opsTimeout, WriteTimeout: 2 * opsTimeout,
			ErrorLog: slog.NewLogLogger(log.With("component", "ops").Handler(), slog.LevelWarn),
		},
	}
	go func() { o.ended <- o.server.Serve(listener) }()
	return o, nil
}

func answerState(w http.ResponseWriter, trouble error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	state := "ok"
	if trouble != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		state = trouble.Error()
	}
	_, _ = io.WriteString(w, state+"\n") // whoever asked has gone
}

func (o *ops) url() string { return "http://" + o.listener.Addr().String() }

// stop ends it at once: it serves until the last moment, and nobody depends on an answer.
func (o *ops) stop() error {
	err := o.server.Close()
	if ended := <-o.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("ops: %w", err)
	}
	return nil
}

// askOps returns what the process that listens at address says of itself, and an error
// unless it is ready.
func askOps(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, opsAskTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", address, err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "", fmt.Errorf("nobody answers: %w", err)
	}
	defer resp.Body.Close()
	state, err := io.ReadAll(io.LimitReader(resp.Body, opsMaxState))
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", address, err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("not ready: %s", strings.TrimSpace(string(state)))
	}
	return string(state), nil
}
