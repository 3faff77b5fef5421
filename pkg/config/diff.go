package config

// Change is a setting that differs between two configurations.
type Change struct {
	Path   string
	Before string // as written in a file, masked for secrets; empty when the setting was not there
	After  string
	Origin Origin // of the value after; of the value before when the setting is gone
	Reload bool   // may take effect while the program runs
}

// Changes are in the order of the settings, with those that are gone at the end.
type Changes []Change

// Diff returns what changed from one configuration to another of the same program.
// A value that only comes from elsewhere has not changed.
func Diff(before, after *Loaded) Changes {
	old := map[string]Setting{}
	for _, s := range before.settings {
		old[s.Path] = s
	}
	var changes Changes
	for _, s := range after.settings {
		was, existed := old[s.Path]
		delete(old, s.Path)
		if !existed || was.plain != s.plain {
			changes = append(changes, Change{s.Path, was.Value, s.Value, s.Origin, s.Reload})
		}
	}
	for _, s := range before.settings {
		if _, gone := old[s.Path]; gone {
			changes = append(changes, Change{s.Path, s.Value, "", s.Origin, s.Reload})
		}
	}
	return changes
}

// Reloadable returns the changes that may take effect while the program runs.
func (c Changes) Reloadable() Changes { return c.filter(true) }

// NeedRestart returns the changes that take effect at the next start only.
func (c Changes) NeedRestart() Changes { return c.filter(false) }

func (c Changes) filter(reload bool) Changes {
	var some Changes
	for _, change := range c {
		if change.Reload == reload {
			some = append(some, change)
		}
	}
	return some
}
