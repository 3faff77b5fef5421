package live_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// positionOf is what an id says.
type positionOf map[string]uint64

func (p positionOf) String() string {
	var parts []string
	for _, stream := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, stream+"="+strconv.FormatUint(p[stream], 10))
	}
	return strings.Join(parts, ",")
}
