package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	maxPayload = 1 << 20
	// maxMemory is for JetStream's memory storage, which Sluice does not use: every
	// stream is on file. The rest of the machine's memory stays free.
	maxMemory = 256 << 20
	// readyTimeout begins when the streams are recovered and the port is open.
	readyTimeout = 10 * time.Second
)

// embedded is a NATS server inside this process, and the data folder it holds.
type embedded struct {
	server *server.Server
	folder *folder
}

// embed starts a server with JetStream in the data folder. Its own limit for file
// storage is three quarters of the free disk, plus what it has stored already.
func embed(ctx context.Context, o options, log *slog.Logger) (*embedded, error) {
	dir, err := openFolder(o.Data)
	if err != nil {
		return nil, err
	}
	srv, err := startServer(ctx, o, log.With("component", "nats-server"))
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	return &embedded{server: srv, folder: dir}, nil
}

func startServer(ctx context.Context, o options, log *slog.Logger) (*server.Server, error) {
	host, port, err := splitAddress(o.NATS.Listen)
	if err != nil {
		return nil, fmt.Errorf("nats.listen %s: %w", o.NATS.Listen, err)
	}
	if err := checkFree(ctx, o.NATS.Listen); err != nil {
		return nil, err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "sluice",
		Host:       host, Port: port,
		JetStream:          true,
		StoreDir:           filepath.Join(o.Data, "nats"),
		JetStreamMaxMemory: maxMemory,
		SyncInterval:       o.NATS.Sync.interval, SyncAlways: o.NATS.Sync.always,
		MaxPayload: maxPayload,
		NoSigs:     true,
	})
	if err != nil {
		return nil, fmt.Errorf("configure the NATS server: %w", err)
	}
	logger := &serverLog{log: log}
	srv.SetLoggerV2(logger, false, false, false)
	srv.Start()
	if err := logger.fatal(); err != nil {
		stopServer(srv)
		return nil, fmt.Errorf("start the NATS server: %w", err)
	}
	if !srv.ReadyForConnections(readyTimeout) {
		stopServer(srv)
		return nil, fmt.Errorf("the NATS server on %s did not get ready within %s", o.NATS.Listen, readyTimeout)
	}
	logger.open()
	return srv, nil
}

// checkFree finds a taken port before the server has spent time on its streams.
func checkFree(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err // without the name of the call
	}
	if err != nil {
		return fmt.Errorf("NATS: listen on %s: %w", address, err)
	}
	return l.Close()
}

// stop needs all of this process's connections closed. A lame duck would do nothing
// on a server that only this process uses.
func (e *embedded) stop() error {
	stopServer(e.server)
	return e.folder.close()
}

func stopServer(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}
