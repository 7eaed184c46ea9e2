package load

import (
	"sync"
	"time"
)

// Of each kind of fault, and of all together, so many are kept with their request. All are counted.
const (
	examplesOfKind = 3
	examplesInAll  = 20
)

// Example is one faulty answer.
type Example struct {
	AtS     float64 `json:"at_s"` // when it was found, from the start
	Request string  `json:"request"`
	Kind    string  `json:"kind"`
	Fault   string  `json:"fault"`

	start   [16]byte // of the body
	version uint64
	content bool
}

type examples struct {
	mu   sync.Mutex // protects the fields below
	kept [FaultKinds]int
	list []Example
}

func (e *examples) add(x *exchange, now time.Duration, f *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kept[f.kind] >= examplesOfKind || len(e.list) >= examplesInAll {
		return
	}
	e.kept[f.kind]++
	ex := Example{
		AtS: seconds(now), Request: x.req.method + " " + string(x.req.target), Kind: f.kind.String(), Fault: f.text,
		start: x.check.start, version: x.parser.answer.version,
		content: f.kind == FaultContent && x.check.begin == 0 && x.check.got >= int64(len(x.check.start)),
	}
	e.list = append(e.list, ex)
}

// explain says of wrong bodies whose they are, if they are those of another object of the catalogue.
func (e *examples) explain(o *Options) []Example {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.list {
		if ex := &e.list[i]; ex.content && o.Mix != nil {
			if whose := owner(o, ex); whose != "" {
				ex.Fault += "; the body is that of " + whose
			}
		}
	}
	return e.list
}
