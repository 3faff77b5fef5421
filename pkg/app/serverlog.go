package app

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog passes on what the NATS server has to say from warnings up. Until the
// server is up it keeps that to itself, because a start that fails has one error.
type serverLog struct {
	log *slog.Logger

	mu     sync.Mutex
	opened bool
	held   []func()
	died   error // the first fatal message; the server expects a process to end with it
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.died
}

// open writes what was held back and holds back no more.
func (l *serverLog) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, write := range l.held {
		write()
	}
	l.opened, l.held = true, nil
}

func (l *serverLog) write(level func(msg string, args ...any), format string, v []any) {
	line := fmt.Sprintf(format, v...)
	write := func() { level("NATS server", "message", line) }
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.opened {
		l.held = append(l.held, write)
		return
	}
	write()
}

// Fatalf keeps the message for whoever started the server; the process goes on.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.write(l.log.Error, format, v)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.died == nil {
		l.died = fmt.Errorf(format, v...)
	}
}

func (l *serverLog) Errorf(format string, v ...any) { l.write(l.log.Error, format, v) }
func (l *serverLog) Warnf(format string, v ...any)  { l.write(l.log.Warn, format, v) }
func (*serverLog) Noticef(string, ...any)           {}
func (*serverLog) Debugf(string, ...any)            {}
func (*serverLog) Tracef(string, ...any)            {}
