package workload

import (
	"math"
	"strconv"
	"time"
)

// Catalogue is the set of objects that a load asks for. What an object is follows from its number alone, so that nothing is
// stored and every worker, and every later run, sees the same objects. Number 0 is the most popular.
type Catalogue struct {
	Objects     int64         // how many there are
	Sizes       Sizes         // of their bodies
	MaxAge      time.Duration // lifetime that the origin is asked to give, whole seconds; 0: the origin's own rule decides
	Uncacheable float64       // share of the objects that the origin is asked to mark no-store, 0 to 1
	Tags        int64         // groups of objects with a tag in common; 0: no tags
	Prefix      string        // of every path; begins with a slash
}

// Object is one of a catalogue.
type Object struct {
	Size        int64
	Uncacheable bool
	Tag         int64 // -1: none
}

// What hash decides.
const (
	decideSize = iota
	decideCacheable
	decideTag
)

// Object tells what the object with this number is.
func (c *Catalogue) Object(id int64) Object {
	o := Object{Tag: -1}
	if c.Sizes.Fixed() {
		o.Size = c.Sizes.Median
	} else {
		o.Size = c.Sizes.Of(hash(id, decideSize))
	}
	if c.Uncacheable > 0 {
		o.Uncacheable = share(hash(id, decideCacheable)) < c.Uncacheable
	}
	if c.Tags > 0 {
		o.Tag = int64(hash(id, decideTag) % uint64(c.Tags))
	}
	return o
}

// AppendTarget appends the request target of an object. It carries what the origin is to answer as parameters of the path
// (";size=1024"), which no proxy sorts or drops as it may do with a query.
func (c *Catalogue) AppendTarget(b []byte, id int64, o Object) []byte {
	b = append(b, c.Prefix...)
	b = strconv.AppendInt(b, id, 10)
	b = append(b, ";size="...)
	b = strconv.AppendInt(b, o.Size, 10)
	if o.Uncacheable {
		b = append(b, ";no-store"...)
	} else if c.MaxAge > 0 {
		b = append(b, ";max-age="...)
		b = strconv.AppendInt(b, int64(c.MaxAge/time.Second), 10)
	}
	if o.Tag >= 0 {
		b = append(b, ";tag="...)
		b = AppendTag(b, o.Tag)
	}
	return b
}

// AppendTag appends the name of a tag.
func AppendTag(b []byte, tag int64) []byte {
	return strconv.AppendInt(append(b, 'g'), tag, 10)
}

// Bytes estimates the sum of all sizes from a sample of at most 10,000 objects. What does not fit is the largest number.
func (c *Catalogue) Bytes() int64 {
	n := min(c.Objects, 10_000)
	if n == 0 {
		return 0
	}
	var sum float64
	for i := range n {
		// Spread over all numbers; they do not depend on each other.
		sum += float64(c.Object(i * (c.Objects / n)).Size)
	}
	all := sum / float64(n) * float64(c.Objects)
	if all >= math.MaxInt64 {
		return math.MaxInt64 // a conversion would make anything of it, even less than 0
	}
	return int64(all)
}
