package origin

// Permits returns how many exchanges the pool can have at a time, with all its servers
// together.
func (p *Pool) Permits() int { return p.conf.MaxConnsPerServer * len(p.servers) }
