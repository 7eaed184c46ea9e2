package metrics

// PoolRow is what an origin's pool of servers counts.
type PoolRow struct {
	// Origin comes from the configuration.
	Origin string
	// Retries are counted by why, Hedges by whether they won ("true", "false").
	Retries, Hedges []Counted
	// Waiting counts the requests that wait for a connection now.
	Waiting int
	Servers []ServerRow
}

// ServerRow is one server of an origin.
type ServerRow struct {
	// Server comes from the configuration: the URL.
	Server string
	// Up: it gets requests, or would if no other server did.
	Up bool
	// Outcomes are counted since the start.
	Outcomes []Counted
}

// Counted is the value of a label, and how often it was counted.
type Counted struct {
	Label string
	N     uint64
}

// SetPoolRows makes f the source of what the origins' pools count. f is called at
// each scrape.
func (r *Registry) SetPoolRows(f func() []PoolRow) { r.poolRows.Store(&f) }

func (r *Registry) appendPoolRows(b []byte) []byte {
	f := r.poolRows.Load()
	if f == nil {
		return b
	}
	counted := func(name, label string, of []Counted, more ...string) {
		for _, c := range of {
			b = appendSample(b, name, labels(append(more, label, c.Label)...), c.N)
		}
	}
	for _, p := range (*f)() {
		counted(nameOriginRetries, "why", p.Retries, "origin", p.Origin)
		counted(nameOriginHedges, "won", p.Hedges, "origin", p.Origin)
		b = appendSample(b, nameOriginWaiting, labels("origin", p.Origin), uint64(p.Waiting))
		for _, s := range p.Servers {
			up := uint64(0)
			if s.Up {
				up = 1
			}
			b = appendSample(b, nameServerUp, labels("origin", p.Origin, "server", s.Server), up)
			counted(nameServerReqs, "outcome", s.Outcomes, "origin", p.Origin, "server", s.Server)
		}
	}
	return b
}
