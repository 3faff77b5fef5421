package projection

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
)

// maxValue bounds one value: half the server's default payload limit.
const maxValue = 512 << 10

// Tx is the model as one event finds it. What a fold writes is seen by its later
// reads and is kept only when the fold returns nil. A Tx is valid during the fold.
type Tx[V any] struct{ d *draft }

// Get returns the value of key and whether there is one. An error means that it
// could not be read; return it.
func (tx *Tx[V]) Get(key string) (V, bool, error) {
	var v V
	if !isKey(key) {
		return v, false, tx.d.refuse("%w: %q is no value's key", ErrKey, key)
	}
	data, ok, err := tx.d.read(key)
	if err != nil || !ok {
		return v, false, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, false, tx.d.refuse("value of key %s: %w", key, err)
	}
	return v, true, nil
}

// Put sets the value of key, one token of letters, digits and -_=/. A malformed key
// or a value over 512 KiB of JSON fails the event.
func (tx *Tx[V]) Put(key string, v V) {
	if !isKey(key) {
		_ = tx.d.refuse("%w: %q is no value's key", ErrKey, key)
		return
	}
	data, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		_ = tx.d.refuse("value of key %s: %w", key, err)
		return
	}
	if len(data) > maxValue {
		_ = tx.d.refuse("value of key %s has %d bytes, more than %d", key, len(data), maxValue)
		return
	}
	tx.d.write(key, write{value: data})
}

// Delete removes the value of key. Index entries stay until [Tx.Unindex];
// [View.List] skips those without a value.
func (tx *Tx[V]) Delete(key string) {
	if !isKey(key) {
		_ = tx.d.refuse("%w: %q is no value's key", ErrKey, key)
		return
	}
	tx.d.write(key, write{remove: true})
}

// Index lets [View.List] find key under indexKey, which has two tokens or more:
// the index, and what to order by, such as by-user.<user id>.<order id>.
func (tx *Tx[V]) Index(indexKey, key string) {
	if !isIndexKey(indexKey) || !isKey(key) {
		_ = tx.d.refuse("%w: index %q of key %q", ErrKey, indexKey, key)
		return
	}
	tx.d.write(indexKey, write{value: []byte(key)})
}

// Unindex takes back [Tx.Index].
func (tx *Tx[V]) Unindex(indexKey string) {
	if !isIndexKey(indexKey) {
		_ = tx.d.refuse("%w: index %q", ErrKey, indexKey)
		return
	}
	tx.d.write(indexKey, write{remove: true})
}

// maxKey bounds a key in bytes.
const maxKey = 512

// isWellFormed reports whether key is tokens of letters, digits and -_=/, with dots
// between them.
func isWellFormed(key string) bool {
	if key == "" || len(key) > maxKey {
		return false
	}
	dot := true // before: where a token must begin
	for i := range len(key) {
		c := key[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if c == '.' && dot || c != '.' && !letter && c != '-' && c != '/' && c != '_' && c != '=' {
			return false
		}
		dot = c == '.'
	}
	return !dot
}

func isKey(key string) bool { return isWellFormed(key) && !strings.Contains(key, ".") }

func isIndexKey(key string) bool {
	return isIndex(key) && strings.Contains(key, ".")
}

// isIndex reports whether index can be the beginning of index keys.
func isIndex(index string) bool {
	first, _, _ := strings.Cut(index, ".")
	return isWellFormed(index) && first != "checkpoint" && first != "staged" && first != generationToken
}

// write is what becomes of one key.
type write struct {
	value  []byte
	remove bool
}

// draft collects what the fold of one event reads and writes.
type draft struct {
	lookup func(key string) (stored, error) // the model before the event

	writes map[string]write
	order  []string // keys in the order of their first write
	failed error    // a read that failed: try the event again
	wrong  error    // a mistake of the fold: the event can't be folded
}

func (d *draft) read(key string) ([]byte, bool, error) {
	if w, ok := d.writes[key]; ok {
		return w.value, !w.remove, nil
	}
	m, err := d.lookup(key)
	if err != nil {
		d.failed = err
		return nil, false, err
	}
	return m.value, m.live, nil
}

func (d *draft) write(key string, w write) {
	if d.writes == nil {
		d.writes = make(map[string]write)
	}
	if _, ok := d.writes[key]; !ok {
		d.order = append(d.order, key)
	}
	d.writes[key] = w
}

func (d *draft) refuse(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if d.wrong == nil {
		d.wrong = err
	}
	return err
}
