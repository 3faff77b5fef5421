package projection

import (
	"iter"
	"slices"
	"sort"
	"strings"
)

// runLength is how long a run of [sorted] may get.
const runLength = 1024

// sorted is a set of strings in order: runs of them, none empty. The zero value is
// empty.
type sorted struct{ runs [][]string }

// run returns the index of the run where s is, or would go.
func (l *sorted) run(s string) int {
	return max(sort.Search(len(l.runs), func(i int) bool { return l.runs[i][0] > s })-1, 0)
}

func (l *sorted) add(s string) {
	if len(l.runs) == 0 {
		l.runs = [][]string{{s}}
		return
	}
	i := l.run(s)
	at, found := slices.BinarySearch(l.runs[i], s)
	if found {
		return
	}
	l.runs[i] = slices.Insert(l.runs[i], at, s)
	if run := l.runs[i]; len(run) > runLength {
		half := len(run) / 2
		l.runs[i] = slices.Clone(run[:half])
		l.runs = slices.Insert(l.runs, i+1, slices.Clone(run[half:]))
	}
}

func (l *sorted) remove(s string) {
	if len(l.runs) == 0 {
		return
	}
	i := l.run(s)
	at, found := slices.BinarySearch(l.runs[i], s)
	if !found {
		return
	}
	if l.runs[i] = slices.Delete(l.runs[i], at, at+1); len(l.runs[i]) == 0 {
		l.runs = slices.Delete(l.runs, i, i+1)
	}
}

// below returns those that begin with prefix, the highest first, whose rest is lower
// than before unless that is empty.
func (l *sorted) below(prefix, before string) iter.Seq[string] {
	end := prefix + before
	if before == "" {
		end = prefix + "\xff" // above all keys
	}
	return func(yield func(string) bool) {
		if len(l.runs) == 0 {
			return
		}
		for i := l.run(end); i >= 0; i-- {
			at, _ := slices.BinarySearch(l.runs[i], end) // the whole run, when it is lower
			for _, s := range slices.Backward(l.runs[i][:at]) {
				if !strings.HasPrefix(s, prefix) || !yield(s) {
					return
				}
			}
		}
	}
}
