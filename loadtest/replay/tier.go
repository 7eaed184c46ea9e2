package replay

import (
	"fmt"
	"net/http"

	"github.com/dunglas/httpsfv"
)

// Tier is where an answer came from, as its Cache-Status says.
type Tier uint8

const (
	// TierRAM is a hit with detail=ram.
	TierRAM Tier = iota
	// TierDisk is a hit with detail=disk.
	TierDisk
	// TierHit is a hit with another detail or none.
	TierHit
	// TierCollapsed waited for another request's fetch.
	TierCollapsed
	// TierRevalidated had a stale object that was checked with the origin.
	TierRevalidated
	// TierMiss was fetched from the origin.
	TierMiss
	// TierPass went past the cache.
	TierPass
	// TierNone has no Cache-Status that can be read.
	TierNone

	tierCount
)

func (t Tier) String() string {
	switch t {
	case TierRAM:
		return "RAM hit"
	case TierDisk:
		return "disk hit"
	case TierHit:
		return "other hit"
	case TierCollapsed:
		return "collapsed"
	case TierRevalidated:
		return "revalidated"
	case TierMiss:
		return "miss"
	case TierPass:
		return "pass"
	case TierNone:
		return "no status"
	}
	return "unknown"
}

// tierOf reads Cache-Status (RFC 9211). Of several caches the last is the one nearest to the client, which is the one
// under test.
func tierOf(h http.Header) Tier {
	list, err := httpsfv.UnmarshalList(h.Values("Cache-Status"))
	if err != nil || len(list) == 0 {
		return TierNone
	}
	item, ok := list[len(list)-1].(httpsfv.Item)
	if !ok {
		return TierNone
	}
	text := func(name string) string {
		v, ok := item.Params.Get(name)
		if !ok {
			return ""
		}
		return fmt.Sprint(v)
	}
	if text("hit") == "true" {
		switch text("detail") {
		case "ram":
			return TierRAM
		case "disk":
			return TierDisk
		}
		return TierHit
	}
	if text("collapsed") == "true" {
		return TierCollapsed
	}
	switch text("fwd") {
	case "stale":
		return TierRevalidated
	case "uri-miss", "vary-miss", "miss", "partial":
		return TierMiss
	case "bypass", "method", "request":
		return TierPass
	}
	return TierNone
}
