package fetch

import (
	"time"

	"weir/origin"
	"weir/policy"
	"weir/tiers"
)

// Answer is how a flight ends for those who wait: an *Again, a *Body, a *Renewed,
// an *Alone or a *Failed. It is immutable.
type Answer interface{ answers() }

// Heard is what the origin said, as far as every answer tells it.
type Heard struct {
	// Status is the origin's, 0 when it said nothing.
	Status int
	// Took is how long it needed for its header.
	Took time.Duration
	// RetryAfter is the origin's, on a failure.
	RetryAfter string
	// Reason is why the response is not stored, or why there is none.
	Reason policy.Reason
}

// Again sends those who wait back to look up; one of them will lead.
type Again struct{}

// Body is a response for all whom it selects and who may have it.
type Body struct {
	Heard
	// Head is the response's head. It has the body where Fill is nil.
	Head *tiers.Object
	// Fill is where the body arrives.
	Fill *tiers.Fill
	// Vary is the list by which a follower finds out whether the key in Head is its
	// own; without names the response varies on nothing.
	Vary policy.VarySpec
	// Waiting is Head's freshness for those who waited.
	Waiting policy.Freshness
	// Stored reports whether the response is stored, as far as is known yet.
	Stored bool
	// Failure: this is the origin's word on a failure of its own. Public: it is
	// for all who are anonymous.
	Failure, Public bool
	// Validates: the response itself says that it is for nobody without validation.
	Validates bool
}

// Renewed is a stored object that a 304 has confirmed.
type Renewed struct {
	Heard
	// Object is what is stored now. Its body is nil where it is on disk: then it
	// is to be read through a hold on Of, which the 304 was about.
	Object, Of *tiers.Object
	Hash       policy.Hash
	Waiting    policy.Freshness
	Stored     bool
}

// Alone tells followers that the response was for the leader only.
type Alone struct {
	Heard
	Waiting   policy.Freshness
	Validates bool
}

// Failed: there is no response. What is stale may stand in.
type Failed struct {
	Heard
	// Code is what a client gets for whom nothing stands in.
	Code int
}

func (*Again) answers()   {}
func (*Body) answers()    {}
func (*Renewed) answers() {}
func (*Alone) answers()   {}
func (*Failed) answers()  {}

// Own is what the answer holds for the leader besides.
type Own struct {
	// First is the head for the leader, where that is another than for the
	// others: fields that are not kept were sent to it all the same.
	First *tiers.Object
	// Reader reads a Body's Fill. It was made before the body began, so that a
	// body that cannot be stored waits for it.
	Reader *tiers.FillReader
	// Live is the response of an Alone, and Fields are its header's. The leader
	// closes its body, and then calls Done where that is set.
	Live   *origin.Response
	Fields policy.Fields
	Done   func()
}
