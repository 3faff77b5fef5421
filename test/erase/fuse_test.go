package erase_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
)

// moment says when a fuse blows: before a deletion reaches the server, or when its
// answer is on the way back.
type moment string

const (
	before moment = "before"
	after  moment = "after"
)

// deletion begins the subject of every request that deletes a message.
const deletion = "$JS.API.STREAM.MSG.DELETE."

// fuse stands between the services and NATS. It counts the deletions and lets nothing
// pass any more from a chosen one on, as if the services had died there.
type fuse struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	count   int
	blowAt  int // 0: never
	when    moment
	waiting net.Conn // the client's, whose answer is awaited
	blown   chan struct{}
	isBlown bool
}

func newFuse(t *testing.T, natsURL string) *fuse {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fuse{listener: listener, target: strings.TrimPrefix(natsURL, "nats://"), conns: make(map[net.Conn]bool)}
	f.set(0, before)
	f.wg.Go(f.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		f.cut()
		f.wg.Wait()
	})
	return f
}

func (f *fuse) url() string { return "nats://" + f.listener.Addr().String() }

// set makes a new fuse of it, which blows at the nth deletion from now; the channel
// is closed when it does.
func (f *fuse) set(nth int, when moment) <-chan struct{} {
	f.cut()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arm(nth, when)
	return f.blown
}

// rearm is set without cutting what is connected.
func (f *fuse) rearm(nth int, when moment) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arm(nth, when)
	return f.blown
}

func (f *fuse) arm(nth int, when moment) {
	f.count, f.blowAt, f.when, f.waiting = 0, nth, when, nil
	f.blown, f.isBlown = make(chan struct{}), false
}

// counted returns how many deletions there were since it was set.
func (f *fuse) counted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// cut closes all connections.
func (f *fuse) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
	clear(f.conns)
}

func (f *fuse) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", f.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		f.mu.Lock()
		f.conns[client], f.conns[server] = true, true
		f.mu.Unlock()
		f.wg.Go(func() { f.pump(client, server, f.requests(client)) })
		f.wg.Go(func() { f.pump(server, client, f.answers(client)) })
	}
}

func (f *fuse) pump(from, to net.Conn, pass func([]byte) []byte) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if _, err := to.Write(pass(buffer[:n])); err != nil {
			return
		}
	}
}

// requests returns what of the client's bytes goes on to the server.
func (f *fuse) requests(client net.Conn) func([]byte) []byte {
	var tail []byte // may hold the beginning of a deletion
	return func(chunk []byte) []byte {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.isBlown {
			return nil
		}
		text := append(bytes.Clone(tail), chunk...)
		for at := 0; ; {
			i := bytes.Index(text[at:], []byte(deletion))
			if i < 0 {
				break
			}
			at += i
			f.count++
			if f.count == f.blowAt && f.when == before {
				f.blow()
				return chunk[:max(bytes.LastIndexByte(text[:at], '\n')+1-len(tail), 0)]
			}
			if f.count == f.blowAt {
				f.waiting = client
			}
			at += len(deletion)
		}
		tail = bytes.Clone(text[max(0, len(text)-len(deletion)+1):])
		return chunk
	}
}

// answers returns what of the server's bytes goes on to the client.
func (f *fuse) answers(client net.Conn) func([]byte) []byte {
	return func(chunk []byte) []byte {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.waiting == client && bytes.Contains(chunk, []byte("stream_msg_delete_response")) {
			f.blow()
		}
		if f.isBlown {
			return nil
		}
		return chunk
	}
}

// blow is called with mu held.
func (f *fuse) blow() {
	if !f.isBlown {
		f.isBlown = true
		close(f.blown)
	}
}
