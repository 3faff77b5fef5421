package natstest

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and a [Server] and fails on command, so that a test
// can lose an acknowledgement or a connection at a chosen moment.
type Proxy struct {
	listener net.Listener
	target   string
	trigger  atomic.Pointer[string]
	muted    atomic.Bool
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
}

// Proxy returns a proxy to the server, closed when the test ends.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("natstest: proxy: %v", err)
	}
	p := &Proxy{listener: listener, target: s.server.Addr().String(), conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

// URL returns the address to give to [nats.Connect].
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// MuteAfter waits until the client sends text and from then on throws away what the
// server sends, while what the client sends still arrives: that request and those
// after it are carried out and their replies are lost. [Proxy.Cut] ends it. text
// must arrive in one piece: choose something short.
func (p *Proxy) MuteAfter(text string) { p.trigger.Store(&text) }

// Cut closes all connections. New ones are accepted, and are not muted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
	p.trigger.Store(nil)
	p.muted.Store(false)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { pipe(server, client, p.fromClient) })
		p.wg.Go(func() { pipe(client, server, func([]byte) bool { return !p.muted.Load() }) })
	}
}

// fromClient lets everything through and watches for the trigger.
func (p *Proxy) fromClient(b []byte) bool {
	if text := p.trigger.Load(); text != nil && bytes.Contains(b, []byte(*text)) {
		p.muted.Store(true)
	}
	return true
}

// pipe copies what pass lets through from src to dst until one of them is closed,
// and closes both.
func pipe(dst, src net.Conn, pass func([]byte) bool) {
	defer dst.Close()
	defer src.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := src.Read(buffer)
		if n > 0 && pass(buffer[:n]) {
			if _, err := dst.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
