package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
)

// Levels says from which level log lines are written: by the package that writes them,
// else by the service they are about, else for all others. It may be changed at any
// time, and is read with each line. The zero value is info for all.
type Levels struct {
	set atomic.Pointer[levelSet]
}

type levelSet struct {
	base, lowest slog.Level
	named        map[string]slog.Level
}

var levelName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// Set reads levels such as "info,order=debug,bus=warn", in which order is a service and
// bus a package, by its last name, and replaces those before. What has no name is for
// all others; without it that is info. On an error nothing is changed.
func (l *Levels) Set(text string) error {
	next := levelSet{named: make(map[string]slog.Level)}
	var errs []error
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, named := strings.Cut(part, "=")
		if !named {
			name, value = "", part
		}
		var level slog.Level
		switch err := level.UnmarshalText([]byte(value)); {
		case err != nil:
			errs = append(errs, fmt.Errorf("log level %q is none of debug, info, warn and error", value))
		case named && !levelName.MatchString(name):
			errs = append(errs, fmt.Errorf("log level of %q: not the name of a service or a package", name))
		case named:
			next.named[name] = level
		default:
			next.base = level
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	next.lowest = next.base
	for _, level := range next.named {
		next.lowest = min(next.lowest, level)
	}
	l.set.Store(&next)
	return nil
}

// String returns the levels as Set reads them.
func (l *Levels) String() string {
	set := l.load()
	parts := []string{strings.ToLower(set.base.String())}
	for _, name := range slices.Sorted(maps.Keys(set.named)) {
		parts = append(parts, name+"="+strings.ToLower(set.named[name].String()))
	}
	return strings.Join(parts, ",")
}

// Level returns the lowest of all levels, and makes Levels a [slog.Leveler].
func (l *Levels) Level() slog.Level { return l.load().lowest }

func (l *Levels) load() levelSet {
	if set := l.set.Load(); set != nil {
		return *set
	}
	return levelSet{}
}

// of returns the level of lines about a service that the code at pc writes.
func (s levelSet) of(service string, pc uintptr) slog.Level {
	if len(s.named) == 0 {
		return s.base
	}
	if level, ok := s.named[packageOf(pc)]; ok {
		return level
	}
	if level, ok := s.named[service]; ok {
		return level
	}
	return s.base
}

// packageOf returns the last name of the package that the code at pc is in.
func packageOf(pc uintptr) string {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	name := frame.Function
	if i := strings.IndexAny(name, "[("); i >= 0 {
		name = name[:i]
	}
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, ".")
	return name
}
