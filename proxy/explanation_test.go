package proxy

import (
	"testing"

	"weir/policy"
)

// TestExplanation: what the detail of Cache-Status and the reason of the log say of
// each kind of outcome, where more than one thing could be said.
func TestExplanation(t *testing.T) {
	for _, c := range []struct {
		name        string
		x           exchange
		detail, log string
	}{
		{"a hit", exchange{found: foundUsable, outcome: outcomeHit, tier: policy.TierRAM}, "ram", "none"},
		{"a hit, and another variant was purged", exchange{found: foundUsable, outcome: outcomeHit, tier: policy.TierDisk, purged: true}, "disk", "none"},
		{"stale after a soft purge", exchange{found: foundUsable, outcome: outcomeStale, tier: policy.TierRAM, purged: true}, "ram", "none"},
		{"a miss", exchange{found: foundNothing, outcome: outcomeFetched, tier: policy.TierOrigin}, "", "none"},
		{"purged", exchange{found: foundNothing, outcome: outcomeFetched, purged: true}, "purged", "purged"},
		{"soft purged, and another came", exchange{found: foundStale, outcome: outcomeFetched, purged: true}, "purged", "purged"},
		{"expired, and another came", exchange{found: foundStale, outcome: outcomeFetched}, "", "none"},
		{"purged, and not stored again", exchange{found: foundNothing, outcome: outcomeFetched, purged: true, reason: policy.ReasonNoStore}, "no-store", "no-store"},
		{"purged, and the origin fails", exchange{found: foundStale, outcome: outcomeFailed, purged: true, reason: policy.ReasonOriginTLS}, "origin-tls", "origin-tls"},
		{"another variant", exchange{found: foundVariants, outcome: outcomeFetched}, "", "none"},
		{"known as uncacheable", exchange{found: foundMark, outcome: outcomeFetched, reason: policy.ReasonSetCookie}, "set-cookie", "set-cookie"},
		{"no longer uncacheable", exchange{found: foundMark, outcome: outcomeFetched}, "hit-for-miss", "hit-for-miss"},
		{"confirmed", exchange{found: foundStale, outcome: outcomeRevalidated, tier: policy.TierRAM, unconfirmed: true}, "ram", "unconfirmed"},
		{"not confirmed", exchange{found: foundStale, outcome: outcomeFetched, unconfirmed: true}, "unconfirmed", "unconfirmed"},
		{"not to be confirmed", exchange{found: foundStale, outcome: outcomeFailed, unconfirmed: true, reason: policy.ReasonOriginTimeout}, "unconfirmed", "origin-timeout"},
		{"stood in", exchange{found: foundStale, outcome: outcomeStandIn, reason: policy.ReasonOriginStatus}, "stale-if-error", "origin-status"},
		{"broke off", exchange{found: foundNothing, outcome: outcomeFetched, purged: true, broke: policy.ReasonOriginStalled}, "origin-stalled", "origin-stalled"},
		{"a hit that its client did not want", exchange{found: foundUsable, outcome: outcomeHit, tier: policy.TierDisk, broke: policy.ReasonClientGone}, "disk", "client-gone"},
		{"refused", exchange{found: foundUnasked, outcome: outcomeRefused, reason: policy.ReasonNoPolicy}, "no-policy", "no-policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.x.detailName(); got != c.detail {
				t.Errorf("detail %q, want %q", got, c.detail)
			}
			if got := c.x.explanation().String(); got != c.log {
				t.Errorf("reason %q, want %q", got, c.log)
			}
		})
	}
}
