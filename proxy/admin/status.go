package admin

import "time"

// Status is the body of GET /v1/status. Whoever provides it fills it anew for
// each call.
type Status struct {
	Version       string         `json:"version"`
	UptimeSeconds int64          `json:"uptime_seconds"`
	Node          string         `json:"node"`
	Ready         bool           `json:"ready"`
	NotReady      string         `json:"not_ready,omitempty"` // why it is not
	Tiers         []TierStatus   `json:"tiers"`
	Origins       []OriginStatus `json:"origins"`
	Policies      int            `json:"policies"`
	Config        ConfigStatus   `json:"config"`
	Peers         []PeerStatus   `json:"peers"`
	// Cluster is how this node stands among its peers; nil for a single node.
	Cluster *ClusterStatus `json:"cluster,omitempty"`
	Purges  PurgesStatus   `json:"purges"`
	// InFlight is what bodies on their way take.
	InFlight InFlightStatus `json:"in_flight"`
}

// InFlightStatus is the budget of bodies in memory that are on their way, in bytes.
type InFlightStatus struct {
	Bytes int64        `json:"bytes"`
	Limit int64        `json:"limit"`
	Spool *SpoolStatus `json:"spool,omitempty"` // nil without one
}

// SpoolStatus is where bodies go that the budget has no room for.
type SpoolStatus struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Size  int64  `json:"size"`
	Up    bool   `json:"up"`
	Error string `json:"error,omitempty"` // why it is not
}

// PurgesStatus is what is kept of purges in memory.
type PurgesStatus struct {
	// Epoch counts up with each purge that takes effect here, those of other
	// nodes included; what was fetched before Floor is invalid. Scopes are in
	// memory.
	Epoch  uint64 `json:"epoch"`
	Scopes int64  `json:"scopes"`
	Floor  uint64 `json:"floor"`
	Last   string `json:"last"` // id of this node's last purge
	// Log is written, or, with a disk tier, opening or behind: then Unlogged purges
	// are in effect and not in the log yet. Without one it is memory.
	Log      string `json:"log,omitempty"`
	Unlogged int64  `json:"unlogged,omitempty"`
}

// ClusterStatus is how this node stands among its peers.
type ClusterStatus struct {
	Name string `json:"name"`
	// Gate says whether the cache is used unconfirmed: open; or starting,
	// behind, isolated, when the origin is asked before each use.
	Gate string `json:"gate"`
	// PendingPurges were received and are not in effect yet.
	PendingPurges int `json:"pending_purges"`
	// DroppedMessages were malformed, RefusedMessages of another cluster.
	DroppedMessages int64      `json:"dropped_messages"`
	RefusedMessages int64      `json:"refused_messages"`
	Positions       []Position `json:"positions"`
}

// Position is how far a node has applied one log of purges.
type Position struct {
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"` // of that node's log, hexadecimal
	Number      uint64 `json:"number"`
}

// TierStatus is what one tier holds.
type TierStatus struct {
	Name string `json:"name"` // ram or disk
	Up   bool   `json:"up"`
	// State is opening, open, off, read-only or rebuilding; of the disk only.
	State    string `json:"state,omitempty"`
	Bytes    int64  `json:"bytes"`
	Capacity int64  `json:"capacity"` // bytes
	Objects  int64  `json:"objects"`
	Error    string `json:"error,omitempty"` // why the tier is not up
	// Required: the node is not ready while this tier is not up.
	Required bool `json:"required,omitempty"`
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

// OriginStatus is what is known of one origin.
type OriginStatus struct {
	Name string `json:"name"`
	// Failing: the origin as a whole does not answer, or not in the usual time, so
	// that what is stale stands in at once.
	Failing bool `json:"failing"`
	// Waiting requests have no connection yet.
	Waiting int            `json:"waiting"`
	Servers []ServerStatus `json:"servers"`
}

// ServerStatus is what is known of one server of an origin.
type ServerStatus struct {
	URL string `json:"url"`
	// Addresses are what its name stands for; empty before it was first looked up.
	Addresses []string `json:"addresses"`
	// State is up, backup, ejected, probing or down; Since is when that began.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Reason is why the server is not simply up, or else how it last failed.
	Reason   string `json:"reason,omitempty"`
	InFlight int    `json:"in_flight"`
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
	// Live: it answers. AnsweredSecondsAgo is since the last question that it
	// answered was asked, -1 before the first.
	Live               bool    `json:"live"`
	AnsweredSecondsAgo float64 `json:"answered_seconds_ago"`
	// Lag counts purges in effect here that it has not said to have applied,
	// Ahead those that it has and this node has not.
	Lag       uint64     `json:"lag"`
	Ahead     uint64     `json:"ahead"`
	Positions []Position `json:"positions"`
}

// Normalized returns s with empty lists where it has none, so that the JSON
// holds [] and never null.
func (s Status) Normalized() Status {
	if s.Tiers == nil {
		s.Tiers = []TierStatus{}
	}
	if s.Origins == nil {
		s.Origins = []OriginStatus{}
	}
	for i := range s.Origins {
		for j := range s.Origins[i].Servers {
			if sv := &s.Origins[i].Servers[j]; sv.Addresses == nil {
				sv.Addresses = []string{}
			}
		}
	}
	if s.Peers == nil {
		s.Peers = []PeerStatus{}
	}
	for i := range s.Peers {
		if s.Peers[i].Positions == nil {
			s.Peers[i].Positions = []Position{}
		}
	}
	return s
}
