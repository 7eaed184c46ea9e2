package load

import (
	"bytes"
)

// Tier is where an answer came from, as the cache under test says.
type Tier uint8

const (
	// TierRAM is a hit with detail=ram.
	TierRAM Tier = iota
	// TierDisk is a hit with detail=disk.
	TierDisk
	// TierHit is a hit of which the cache does not say from where.
	TierHit
	// TierStale is a hit that was no longer fresh: its ttl is negative.
	TierStale
	// TierCollapsed waited for a fetch that another request had started.
	TierCollapsed
	// TierRevalidated had a stored object that was checked with the origin, or replaced.
	TierRevalidated
	// TierMiss was fetched from the origin.
	TierMiss
	// TierPass went past the cache.
	TierPass
	// TierNone says nothing that can be read.
	TierNone

	// Tiers is their number.
	Tiers
)

func (t Tier) String() string {
	switch t {
	case TierRAM:
		return "ram"
	case TierDisk:
		return "disk"
	case TierHit:
		return "hit"
	case TierStale:
		return "stale-hit"
	case TierCollapsed:
		return "collapsed"
	case TierRevalidated:
		return "revalidated"
	case TierMiss:
		return "miss"
	case TierPass:
		return "pass"
	case TierNone:
		return "none"
	}
	return "unknown"
}

// Hit tells whether the origin was spared.
func (t Tier) Hit() bool { return t <= TierStale }

// tierOfStatus reads a Cache-Status field (RFC 9211). Of several caches the last is the nearest to the client, which is the
// one under test. It allocates nothing, which a parser of structured fields would.
func tierOfStatus(field []byte) Tier {
	var s cacheStatus
	for member := range splitOutsideQuotes(field, ',') {
		s = readMember(member)
	}
	switch {
	case !s.named:
		return TierNone
	case s.hit && s.stale:
		return TierStale
	case s.hit && s.detail == detailRAM:
		return TierRAM
	case s.hit && s.detail == detailDisk:
		return TierDisk
	case s.hit:
		return TierHit
	case s.collapsed:
		return TierCollapsed
	}
	return s.fwd
}

type detail uint8

const (
	detailOther detail = iota
	detailRAM
	detailDisk
)

// cacheStatus is what one cache says.
type cacheStatus struct {
	named, hit, stale, collapsed bool
	detail                       detail
	fwd                          Tier // TierNone without fwd
}

func readMember(member []byte) cacheStatus {
	s := cacheStatus{fwd: TierNone}
	first := true
	for param := range splitOutsideQuotes(member, ';') {
		param = trim(param)
		if first {
			first = false
			s.named = len(param) > 0
			continue
		}
		name, value, given := bytes.Cut(param, []byte("="))
		switch string(name) {
		case "hit":
			s.hit = !given || string(value) == "?1"
		case "collapsed":
			s.collapsed = !given || string(value) == "?1"
		case "ttl":
			s.stale = len(value) > 1 && value[0] == '-' && !allZero(value[1:])
		case "detail":
			switch string(bytes.Trim(value, `"`)) {
			case "ram":
				s.detail = detailRAM
			case "disk":
				s.detail = detailDisk
			default:
				s.detail = detailOther
			}
		case "fwd":
			s.fwd = tierOfForward(value)
		}
	}
	return s
}

func tierOfForward(why []byte) Tier {
	switch string(why) {
	case "stale":
		return TierRevalidated
	case "uri-miss", "vary-miss", "miss", "partial":
		return TierMiss
	case "bypass", "method", "request":
		return TierPass
	}
	return TierNone
}

func allZero(digits []byte) bool { return len(bytes.Trim(digits, "0")) == 0 }

// splitOutsideQuotes cuts b at each sep that stands in no quoted string.
func splitOutsideQuotes(b []byte, sep byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		start, quoted := 0, false
		for i := 0; i < len(b); i++ {
			switch c := b[i]; {
			case c == '\\' && quoted:
				i++
			case c == '"':
				quoted = !quoted
			case c == sep && !quoted:
				if !yield(b[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(b[start:])
	}
}

// tierOfMark reads what caches without Cache-Status say in X-Cache or X-Cache-Status: a word with HIT or MISS in it.
func tierOfMark(field []byte) Tier {
	switch {
	case containsFold(field, "hit"):
		return TierHit
	case containsFold(field, "miss"), containsFold(field, "expired"):
		return TierMiss
	case containsFold(field, "revalidated"):
		return TierRevalidated
	case containsFold(field, "stale"), containsFold(field, "updating"):
		return TierStale
	case containsFold(field, "bypass"), containsFold(field, "pass"):
		return TierPass
	}
	return TierNone
}

// containsFold looks for a word in lower case, whatever case the field has it in.
func containsFold(field []byte, word string) bool {
	for i := 0; i+len(word) <= len(field); i++ {
		if equalFold(field[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// equalFold compares with a word in lower case ASCII.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trim drops optional white space (RFC 9110 section 5.6.3).
func trim(b []byte) []byte { return bytes.Trim(b, " \t") }
