package admin

import "time"

// Status is the body of GET /v1/status. Whoever provides it fills it anew for
// each call.
type Status struct {
	Version       string       `json:"version"`
	UptimeSeconds int64        `json:"uptime_seconds"`
	Node          string       `json:"node"`
	Ready         bool         `json:"ready"`
	Tiers         []TierStatus `json:"tiers"`
	Origins       []string     `json:"origins"`
	Policies      int          `json:"policies"`
	Config        ConfigStatus `json:"config"`
	Peers         []PeerStatus `json:"peers"`
}

// TierStatus is what one tier holds.
type TierStatus struct {
	Name     string `json:"name"` // ram or disk
	Up       bool   `json:"up"`
	Bytes    int64  `json:"bytes"`
	Capacity int64  `json:"capacity"` // bytes
	Objects  int64  `json:"objects"`
	Error    string `json:"error,omitempty"` // why the tier is not up
	// MissingBytes is the size of what was evicted although it was fresh, and
	// would be fresh still: so much is the tier too small for what the policies
	// promise.
	MissingBytes int64 `json:"missing_bytes,omitempty"`
	// Policies are what the policies have there; of the disk only.
	Policies []TierPolicy `json:"policies,omitempty"`
}

// TierPolicy is what one policy has in a tier. Sizes are in bytes.
type TierPolicy struct {
	Policy          string `json:"policy"` // "" for what no policy stored that is known
	Objects         int64  `json:"objects"`
	Bytes           int64  `json:"bytes"`
	GuaranteedBytes int64  `json:"guaranteed_bytes"` // cannot be pushed out by others
	Pinned          bool   `json:"pinned"`
	EvictedFresh    int64  `json:"evicted_fresh"` // objects, since the start
}

// ConfigStatus says which configuration is in effect.
type ConfigStatus struct {
	Path      string    `json:"path"`
	LoadedAt  time.Time `json:"loaded_at"`
	LastError string    `json:"last_error"` // of the last reload; "" when it succeeded
}

// PeerStatus is what this node knows of one peer.
type PeerStatus struct {
	Name string `json:"name"`
}

// Normalized returns s with empty lists where it has none, so that the JSON
// holds [] and never null.
func (s Status) Normalized() Status {
	if s.Tiers == nil {
		s.Tiers = []TierStatus{}
	}
	if s.Origins == nil {
		s.Origins = []string{}
	}
	if s.Peers == nil {
		s.Peers = []PeerStatus{}
	}
	return s
}
