package compare

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"weir/loadtest/compare/bare"
)

const (
	missScenario  = "miss-10k-64"
	renewScenario = "revalidate-1k-64"
)

// proxies are the systems that have an origin.
var proxies = []string{Weir, HAProxy, Nginx, TrafficServer, Varnish}

const (
	missSize = 10 << 10
	missMiB  = 256
)

// missFill is what the cache is full of before misses are measured: a tenth
// more than it holds.
var missFill = bare.Set{Kind: bare.KindLong, Size: missSize + 1, Count: missMiB << 20 / missSize * 11 / 10}

// missGroup asks for objects that nobody has asked for before. The cache is
// full, so each of them is stored in the place of another.
var missGroup = group{
	name: "miss", scenarios: []string{missScenario}, systems: proxies,
	run: func(ctx context.Context, t turn) error {
		all := t.begin(ctx, options{memoryMiB: missMiB, connections: 64})
		defer func() { stopAll(all) }()
		t.inTurn(ctx, missScenario, t.filled(ctx, missScenario, all, missFill), constant(t.missLoad()), onlyMisses)
		return nil
	},
}

// missLoad asks for objects of which none was asked for before.
func (t turn) missLoad() load {
	return load{
		mode: []string{"new", prefix(bare.Set{Kind: bare.KindLong, Size: missSize}), "0"}, connections: 64, seconds: t.cfg.Seconds,
	}
}

// onlyMisses refuses a measurement in which more than one in a hundred was not
// fetched whole from the origin, or was not answered with it.
func onlyMisses(_ *instance, m measurement, asked bare.Stats) (map[string]float64, error) {
	if fetched := asked.Requests - asked.NotModified; fetched*100 < m.Requests*99 {
		return nil, fmt.Errorf("not misses: the origin sent %d bodies in %d requests", fetched, m.Requests)
	}
	return nil, fullBodies(m, missSize)
}

// fullBodies returns an error if the answers were too short to have had bodies
// of size bytes.
func fullBodies(m measurement, size int64) error {
	if m.Bytes < m.Requests*size {
		return fmt.Errorf("not all bodies came: %d bytes in %d answers of more than %d each", m.Bytes, m.Requests, size)
	}
	return nil
}

// renewSet is asked for in turn; each object is stale, at a lifetime of one
// second, when its turn comes again. A system that counts whole seconds calls an
// object fresh for nearly two: so many are enough for 50,000 requests a second.
var renewSet = bare.Set{Kind: bare.KindShort, Size: 1 << 10, Count: 100_000}

// renewMiB has room for all of them in each system, nginx's files of a page each
// included.
const renewMiB = 1024

// renewGroup asks for objects that are stored and stale, and have a validator.
// HAProxy's cache fetches them whole, since it does not revalidate; it is
// measured all the same.
var renewGroup = group{
	name: "revalidate", scenarios: []string{renewScenario}, systems: proxies,
	run: func(ctx context.Context, t turn) error {
		all := t.begin(ctx, options{memoryMiB: renewMiB, connections: 64})
		defer func() { stopAll(all) }()
		t.inTurn(ctx, renewScenario, t.filled(ctx, renewScenario, all, renewSet), constant(t.renewLoad()), onlyRenewals)
		return nil
	},
}

func (t turn) renewLoad() load {
	return load{mode: []string{"hot", prefix(renewSet), strconv.Itoa(renewSet.Count)}, connections: 64, seconds: t.cfg.Seconds}
}

// onlyRenewals refuses a measurement in which the origin did not answer 304 for
// at least 99 requests in a hundred, HAProxy's excepted, for which it must have
// sent the body, or in which the origin was asked more often than the cache.
func onlyRenewals(i *instance, m measurement, asked bare.Stats) (map[string]float64, error) {
	const underWay = 64 // as the load ends: the origin has counted them, and wrk has not
	n, how := asked.NotModified, "answered 304"
	if i.system.name == HAProxy {
		n, how = asked.Requests-asked.NotModified, "sent the body"
	}
	if n*100 < m.Requests*99 {
		return nil, fmt.Errorf("not all were stale: the origin %s %d times in %d requests", how, n, m.Requests)
	}
	if asked.Requests*100 > (m.Requests+underWay)*101 {
		return nil, fmt.Errorf("not one request each: the origin was asked %d times in %d requests", asked.Requests, m.Requests)
	}
	return map[string]float64{valueRenewed: round3(float64(asked.NotModified) / float64(m.Requests))}, fullBodies(m, int64(renewSet.Size))
}

// filled asks each instance for every object of a set once and returns those
// that answered rightly; the others have their fault recorded.
func (t turn) filled(ctx context.Context, scenario string, all []*instance, s bare.Set) []*instance {
	var out []*instance
	for _, i := range all {
		if err := t.fill(ctx, i, s); err != nil {
			t.fault(scenario, i.system.name, t.round, err)
			continue
		}
		out = append(out, i)
	}
	return out
}

// fill asks i for every object of a set once, as fast as it answers.
func (t turn) fill(ctx context.Context, i *instance, s bare.Set) error {
	return t.whole(ctx, i, slices.Values(s.Paths()))
}

// whole resumes i, sends every path once, checks every body, and pauses i.
func (t turn) whole(ctx context.Context, i *instance, paths iter.Seq[string]) error {
	if err := i.resume(); err != nil {
		return err
	}
	if err := bare.Send(ctx, i.address(), siteHost, 64, paths); err != nil {
		return errors.Join(fmt.Errorf("cannot fill %s: %w", i.system.title, err), i.pause())
	}
	return i.pause()
}
