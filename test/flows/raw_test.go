package flows_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sluice/test/program"
)

// rawHeaders are header blocks that no client library writes. None is a single byte:
// nats-server 2.15.2 dies of that on a stream with RePublish.
func rawHeaders() []string {
	return []string{
		"NATS/1.0 503\r\n\r\n",
		"NATS/1.0 404 Message Not Found\r\n\r\n",
		"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 1\r\n\r\n",
		"NATS/1.0 409 Consumer Deleted\r\n\r\n",
		"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n",
		"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n",
		"NATS/1.0\r\nno colon\r\n\r\n",
		"NATS/1.0\r\n: no name\r\n\r\n",
		"NATS/1.0\r\nce-id: 1\r\nce-id: 2\r\n  folded\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"\x00\x01\x02\r\n\r\n",
		"NATS/1.0\r\nX-Odd-\x7f: x\r\n\r\n",
		"\r\n",
	}
}

// publishRaw publishes with a header block of any bytes, on a connection of its own,
// and returns where a stream stored it; 0 when it did not, or when the server hung up.
func (s *system) publishRaw(t testing.TB, subject, header string, body []byte) (stream string, sequence uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), program.Patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(s.NATS, "nats://"))
	if err != nil {
		t.Error(err)
		return "", 0
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(program.Patience)); err != nil {
		t.Error(err)
		return "", 0
	}
	fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\nSUB raw.reply.* 1\r\n")
	fmt.Fprintf(conn, "HPUB %s raw.reply.%p %d %d\r\n%s%s\r\n", subject, conn, len(header), len(header)+len(body), header, body)
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "-ERR") {
			return "", 0
		}
		if strings.HasPrefix(line, "HMSG") {
			return "", 0 // nobody takes the subject
		}
		if !strings.HasPrefix(line, "MSG") {
			continue
		}
		fields := strings.Fields(line)
		var size int
		if _, err := fmt.Sscan(fields[len(fields)-1], &size); err != nil {
			t.Error(err)
			return "", 0
		}
		reply := make([]byte, size)
		if _, err := io.ReadFull(in, reply); err != nil {
			t.Error(err)
			return "", 0
		}
		return acknowledged(t, reply)
	}
}
