package config

// settingError is what is wrong with one setting of a block.
type settingError struct {
	path []string
	err  error
}

func (e *settingError) Error() string { return joinPath(e.path) + " " + e.err.Error() }
func (e *settingError) Unwrap() error { return e.err }

// At says, in what a method Validate returns, which setting of the block an error is
// about, by the keys that lead there: [Load] then shows where that one was set. It is nil
// when err is.
func At(err error, path ...string) error {
	if err == nil {
		return nil
	}
	return &settingError{path, err}
}

// follow returns the place of a setting below n, and where it was set: as far as the
// path leads. What has no place of its own is where the key of its block is.
func (p place) follow(path []string, n *node) (place, Origin) {
	origin := n.origin
	for _, key := range path {
		p = p.below(key, false)
		if n == nil || n.kind != kindTable {
			n = nil
			continue
		}
		e := n.table.get(key)
		if e == nil {
			n = nil
			continue
		}
		n, origin = e.value, e.value.origin
		if n.kind == kindTable && origin.Layer == File {
			origin.Position = e.pos
		}
	}
	return p, origin
}
