package eventstore_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// failure is what happens to a connection at a place.
type failure int

const (
	cut  failure = iota // both sides see it closed
	mute                // nothing more comes through that way; after an outage it is closed
)

// outage is how long a muted connection stays open.
const outage = 500 * time.Millisecond

func (f failure) String() string { return [...]string{"cut", "mute"}[f] }

// way is a direction on a connection.
type way int

const (
	toServer way = iota
	toClient
)

func (w way) String() string { return [...]string{"to the server", "to the client"}[w] }

// place is where a connection fails: within the message of that number, counted from 0
// since the cutter was armed, at a part of it.
type place struct {
	way     way
	message int
	part    int // index of parts
}

func (p place) String() string {
	return fmt.Sprintf("%s, message %d, %s", p.way, p.message, parts[p.part].name)
}

// parts are the places within a protocol message of size bytes, the first line of which
// takes up line bytes.
var parts = []struct {
	name   string
	offset func(line, size int) int
}{
	{"before it", func(_, _ int) int { return 0 }},
	{"in the subject", func(line, _ int) int { return line / 2 }},
	{"after the line", func(line, _ int) int { return line }},
	{"in the payload's middle", func(line, size int) int { return line + (size-line)/2 }},
	{"before its end", func(_, size int) int { return size - 2 }},
	{"a byte before its end", func(_, size int) int { return size - 1 }},
	{"after it", func(_, size int) int { return size }},
}

// cutter stands between one client and its server. When it is armed it lets the client's
// connection fail at one place; those that the client makes later are not touched.
type cutter struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	armed  bool
	how    failure
	at     place
	passed [2]int // messages since it was armed, each way
	failed func() // called when the connection fails
}

func newCutter(target string) (*cutter, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &cutter{listener: listener, target: target}
	c.wg.Go(c.accept)
	return c, nil
}

func (c *cutter) url() string { return "nats://" + c.listener.Addr().String() }

// arm lets the connection fail, once, and calls failed then.
func (c *cutter) arm(how failure, at place, failed func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.how, c.at, c.failed = true, how, at, failed
}

func (c *cutter) close() {
	c.listener.Close()
	c.mu.Lock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.target)
		if err != nil {
			client.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, client, server)
		c.mu.Unlock()
		c.wg.Go(func() { c.pipe(toServer, server, client) })
		c.wg.Go(func() { c.pipe(toClient, client, server) })
	}
}

// pipe forwards one protocol message after the other, up to the place of failure.
func (c *cutter) pipe(w way, dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	reader := bufio.NewReaderSize(src, 64<<10)
	for {
		line, message, err := next(reader)
		if err != nil {
			return
		}
		pass, fails := c.pass(w, line, message)
		if _, err := dst.Write(message[:pass]); err != nil {
			return
		}
		if !fails {
			continue
		}
		c.failed()
		if c.how == mute && src.SetReadDeadline(time.Now().Add(outage)) == nil {
			_, _ = io.Copy(io.Discard, reader) // ends with the deadline
		}
		return
	}
}

// pass returns how many bytes of a message go through, and whether it is the last.
func (c *cutter) pass(w way, line int, message []byte) (n int, fails bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || line == len(message) { // PING and the like come at any time
		return len(message), false
	}
	number := c.passed[w]
	c.passed[w]++
	if w != c.at.way || number != c.at.message {
		return len(message), false
	}
	c.armed = false
	return parts[c.at.part].offset(line, len(message)), true
}

// next reads one message of the NATS protocol, and how long its first line is.
func next(r *bufio.Reader) (line int, message []byte, err error) {
	message, err = r.ReadBytes('\n')
	if err != nil {
		return 0, nil, err
	}
	line = len(message)
	fields := bytes.Fields(message)
	if len(fields) == 0 || !bytes.HasSuffix(fields[0], []byte("PUB")) && !bytes.HasSuffix(fields[0], []byte("MSG")) {
		return line, message, nil
	}
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil {
		return 0, nil, err
	}
	message = append(message, make([]byte, size+2)...)
	_, err = io.ReadFull(r, message[line:])
	return line, message, err
}
