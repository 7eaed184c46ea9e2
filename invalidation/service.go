package invalidation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/policy"
)

// Request is what somebody wants purged, as it was written.
type Request struct {
	URLs, Tags, Prefixes, Hosts []string
	All, Soft                   bool
	// Within are the hosts that Tags are limited to; empty: every host.
	Within []string
}

// Facts turns a request into facts, in the form that keys have under the rules.
// It returns every fault, each with its place.
func (r *Request) Facts(rules *policy.Set) (facts []Fact, faults []string) {
	seen := make(map[Fact]bool)
	add := func(kind Kind, scopes ...string) {
		for _, s := range scopes {
			if f := (Fact{Kind: kind, Scope: s, Soft: r.Soft}); !seen[f] {
				seen[f] = true
				facts = append(facts, f)
			}
		}
	}
	each := func(list string, entries []string, kind Kind, scopes func(string) ([]string, error)) {
		for i, e := range entries {
			s, err := scopes(e)
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s[%d]: %.200q: %v", list, i, e, err))
				continue
			}
			add(kind, s...)
		}
	}
	each("urls", r.URLs, URL, rules.URLScopes)
	r.addTags(each)
	each("prefixes", r.Prefixes, Prefix, policy.PrefixScopes)
	each("hosts", r.Hosts, Host, policy.HostScopes)
	if r.All {
		add(All, "")
	}
	for _, f := range facts {
		if err := f.Validate(); err != nil {
			faults = append(faults, fmt.Sprintf("%.200q: %v", f.Scope, err))
		}
	}
	return facts, faults
}

// addTags adds the tags, each on every host that it is limited to.
func (r *Request) addTags(each func(string, []string, Kind, func(string) ([]string, error))) {
	if len(r.Within) == 0 {
		each("tags", r.Tags, Tag, policy.TagScopes)
		return
	}
	var hosts []string
	each("within", r.Within, Host, func(host string) ([]string, error) {
		s, err := policy.HostScopes(host)
		hosts = append(hosts, s...)
		return nil, err
	})
	each("tags", r.Tags, HostTag, func(tag string) ([]string, error) {
		tags, err := policy.TagScopes(tag)
		out := make([]string, 0, len(tags)*len(hosts))
		for _, t := range tags {
			for _, h := range hosts {
				out = append(out, h+" "+t)
			}
		}
		return out, err
	})
}

// Faults are what is wrong with a purge, each with its place.
type Faults []string

// Error implements error.
func (f Faults) Error() string { return strings.Join(f, "; ") }

// Ack is a peer's word that a purge is in effect there.
type Ack struct {
	Node string
	// After is how long that took to come; 0 when it came before anybody
	// waited for it.
	After time.Duration
}

// Peers are those whose word a purge may wait for.
type Peers interface {
	// Wait waits until every peer has said that the purge is in effect there, or
	// ctx ends; began is when the purge was asked for.
	Wait(ctx context.Context, id ID, began time.Time) (applied []Ack, pending []string)
}

// Timer is told how long purges took.
type Timer interface {
	// PurgeTook is the time until a purge was in effect here.
	PurgeTook(d time.Duration)
	// PeerTook is the time until a peer said that it is in effect there.
	PeerTook(d time.Duration)
}

// Service is the one way in which this node takes purges: it validates, writes,
// waits, measures and leaves the audit line, whoever asks.
type Service struct {
	Node  *Node
	Peers Peers  // nil for a node without peers
	Timer Timer  // nil: nobody is told
	Audit *Audit // nil: no lines
}

// Result says where a purge is in effect.
type Result struct {
	Purge Purge
	Took  time.Duration // until it was in effect here
	// Acks and Pending are of the peers, when they were waited for.
	Acks    []Ack
	Pending []string
}

// Purge does what the requests ask for, as one purge: it is in effect here when
// Purge returns, and with wait above zero on the peers, or the time is over.
// Faults mean that nothing was done, and so does *Exhausted: who asks has purged too
// much that is new. Any other error is ErrClosed.
func (s *Service) Purge(ctx context.Context, who Who, rules *policy.Set, wait time.Duration, requests ...Request) (Result, error) {
	began := time.Now()
	facts, err := allFacts(rules, requests)
	if err != nil {
		s.Audit.Rejected(who, err)
		return Result{}, err
	}
	if err := s.Node.Admit(who.Token, facts); err != nil {
		s.Audit.Rejected(who, err)
		return Result{}, err
	}
	p, err := s.Node.Purge(facts)
	took := time.Since(began)
	s.Audit.Purged(who, facts, p.ID, took, err)
	if err != nil {
		return Result{}, err
	}
	if s.Timer != nil {
		s.Timer.PurgeTook(took)
	}
	r := Result{Purge: p, Took: took}
	if wait <= 0 || s.Peers == nil {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	r.Acks, r.Pending = s.Peers.Wait(ctx, p.ID, began)
	if s.Timer != nil {
		for _, a := range r.Acks {
			s.Timer.PeerTook(a.After)
		}
	}
	return r, nil
}

// allFacts are the facts of all requests together; the error is Faults.
func allFacts(rules *policy.Set, requests []Request) (facts []Fact, err error) {
	var faults Faults
	for i := range requests {
		f, bad := requests[i].Facts(rules)
		facts, faults = append(facts, f...), append(faults, bad...)
	}
	if len(faults) == 0 {
		if len(facts) == 0 {
			err = errors.New("nothing to purge")
		} else {
			err = ValidatePurge(facts)
		}
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return facts, nil
}
