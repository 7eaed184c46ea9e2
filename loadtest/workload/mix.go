package workload

import (
	"math/rand/v2"
	"time"
)

// Mix is what a load consists of.
type Mix struct {
	Catalogue   Catalogue
	Exponent    float64 // of the popularity; 0: every object is equally popular
	Ranges      float64 // share of the requests that ask for a part, 0 to 1
	Conditional float64 // share of the requests that send a condition for what they have seen before, 0 to 1
	Flashes     []Flash
	Seed        uint64
}

// Flash is a crowd: for a time, a share of all requests goes to a few objects that nobody asked for before.
type Flash struct {
	At, For time.Duration // from the start of the run
	Share   float64       // of all requests, above 0 to 1
	Objects int64         // how many; they come after those of the catalogue
}

// Pick is one request to be.
type Pick struct {
	ID          int64
	Object      Object
	From, To    int64 // the bytes asked for, both included; From is -1 for all
	Conditional bool
}

// Picker draws requests. It belongs to one goroutine.
type Picker struct {
	mix  *Mix
	zipf *Zipf
	rng  *rand.Rand
}

// NewPicker makes the picker of one worker; pickers of different workers draw different sequences.
func NewPicker(m *Mix, worker int) *Picker {
	return &Picker{
		mix:  m,
		zipf: NewZipf(m.Catalogue.Objects, m.Exponent),
		rng:  rand.New(rand.NewPCG(m.Seed, uint64(worker))),
	}
}

// Next draws the request that is due at a moment of the run.
func (p *Picker) Next(due time.Duration) Pick {
	pick := Pick{ID: p.Popular(), From: -1}
	first := p.mix.Catalogue.Objects
	for _, f := range p.mix.Flashes {
		if due >= f.At && due < f.At+f.For && p.rng.Float64() < f.Share {
			pick.ID = first + p.rng.Int64N(f.Objects)
			break
		}
		first += f.Objects
	}
	pick.Object = p.mix.Catalogue.Object(pick.ID)
	if p.mix.Ranges > 0 && p.rng.Float64() < p.mix.Ranges {
		pick.From = p.rng.Int64N(pick.Object.Size)
		pick.To = pick.From + p.rng.Int64N(pick.Object.Size-pick.From)
	} else if p.mix.Conditional > 0 {
		pick.Conditional = p.rng.Float64() < p.mix.Conditional
	}
	return pick
}

// Popular draws the number of an object by popularity alone.
func (p *Picker) Popular() int64 {
	if p.mix.Catalogue.Objects == 1 {
		return 0
	}
	return p.zipf.Next(p.rng)
}

// Objects is how many objects there are in all, those of the flash crowds included.
func (m *Mix) Objects() int64 {
	n := m.Catalogue.Objects
	for _, f := range m.Flashes {
		n += f.Objects
	}
	return n
}
