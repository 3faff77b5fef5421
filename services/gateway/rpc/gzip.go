package rpc

import (
	"compress/gzip"
	"io"

	"connectrpc.com/connect"
)

// boundedGzip is gzip whose messages end when they have more than most bytes. Else little
// would have to be sent to keep the gateway busy with counting how much too large it is.
func boundedGzip(most int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &gunzip{most: most} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) })
}

// gunzip is used for one message after another.
type gunzip struct {
	gzip.Reader

	most, left int // of every message, of this one
}

// Reset begins with the next message.
func (g *gunzip) Reset(src io.Reader) error {
	g.left = g.most + 1
	return g.Reader.Reset(src)
}

// Read ends with the first byte too many.
func (g *gunzip) Read(p []byte) (int, error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	n, err := g.Reader.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}
