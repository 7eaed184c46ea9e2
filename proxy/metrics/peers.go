package metrics

// Peers is what a node knows of its peers.
type Peers struct {
	Rows []PeerRow
	// Gate is one of the names given to SetPeers.
	Gate string
	// Pending counts purges that were received and are not in effect yet.
	Pending int
	// Dropped counts messages that were malformed, Foreign those of another
	// cluster.
	Dropped, Foreign int64
}

// PeerRow is one peer; its name comes from the peers' configurations.
type PeerRow struct {
	Peer string
	Live bool
	Lag  uint64 // purges
}

type peerSource struct {
	gates []string
	f     func() Peers
}

// SetPeers makes f the source of what is known of peers; gates are all values that
// Peers.Gate can have. f is called at each scrape.
func (r *Registry) SetPeers(gates []string, f func() Peers) {
	r.peers.Store(&peerSource{gates, f})
}

func (r *Registry) appendPeers(b []byte) []byte {
	s := r.peers.Load()
	if s == nil {
		return b
	}
	p := s.f()
	for _, row := range p.Rows {
		l := labels("peer", row.Peer)
		b = appendSample(b, namePeerLag, l, row.Lag)
		b = appendSample(b, namePeerUp, l, oneIf(row.Live))
	}
	for _, g := range s.gates {
		b = appendSample(b, nameGate, labels("state", g), oneIf(g == p.Gate))
	}
	b = appendSample(b, namePeerPending, "", uint64(max(p.Pending, 0)))
	b = appendSample(b, namePeerDropped, labels("reason", "malformed"), uint64(max(p.Dropped, 0)))
	return appendSample(b, namePeerDropped, labels("reason", "foreign"), uint64(max(p.Foreign, 0)))
}

func oneIf(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
