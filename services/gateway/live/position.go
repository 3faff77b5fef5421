package live

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// positions says how far somebody has come in each stream. Written out, it is the id of
// a server-sent event: "ORDERS=1234,USERS=9".
type positions map[string]uint64

func (p positions) String() string {
	var s strings.Builder
	for i, stream := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			s.WriteByte(',')
		}
		s.WriteString(stream + "=" + strconv.FormatUint(p[stream], 10))
	}
	return s.String()
}

var errPositions = errors.New(`must be like "ORDERS=1234" or "ORDERS=1234,USERS=9"`)

var positionPattern = regexp.MustCompile(`^([A-Z0-9_-]{1,64})=(0|[1-9][0-9]{0,18})$`)

func parsePositions(s string) (positions, error) {
	const most = 1024
	if len(s) > most {
		return nil, errPositions
	}
	p := make(positions)
	for part := range strings.SplitSeq(s, ",") {
		match := positionPattern.FindStringSubmatch(strings.TrimSpace(part))
		if match == nil {
			return nil, errPositions
		}
		n, err := strconv.ParseUint(match[2], 10, 63)
		if _, twice := p[match[1]]; twice || err != nil {
			return nil, errPositions
		}
		p[match[1]] = n
	}
	return p, nil
}
