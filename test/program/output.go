package program

import (
	"bytes"
	"sync"
)

// Output collects what a program writes while a test reads it.
type Output struct {
	await string        // how the line begins that is waited for
	seen  chan struct{} // closed once that line has come; nil when none is

	mu    sync.Mutex
	text  bytes.Buffer
	found bool
}

// Write takes what the program writes.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if o.seen != nil && !o.found && o.has(o.await) {
		o.found = true
		close(o.seen)
	}
	return len(p), nil
}

// has reports whether a line begins so.
func (o *Output) has(beginning string) bool {
	text := o.text.Bytes()
	return bytes.HasPrefix(text, []byte(beginning)) || bytes.Contains(text, []byte("\n"+beginning))
}

// String returns all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
