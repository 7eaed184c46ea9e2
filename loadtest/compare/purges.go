package compare

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"weir/loadtest/compare/bare"
)

const (
	purgeScenario = "purge-tag"
	banScenario   = "purge-ban" // Varnish only: what it can do without its module
)

// purgeSet has one tag.
var purgeSet = bare.Set{Kind: bare.KindTagged, Size: 1 << 10, Count: 100_000}

// purgeGroup fills a cache with objects of one tag and measures how long it
// takes until a purge of that tag is in effect. HAProxy, nginx and Traffic
// Server have no tags.
var purgeGroup = group{
	name: "purge", scenarios: []string{purgeScenario, banScenario}, systems: []string{Weir, Varnish}, rounds: 3,
	run: func(ctx context.Context, t turn) error {
		all := t.begin(ctx, options{memoryMiB: 512, connections: 64, tags: true})
		defer func() { stopAll(all) }()
		for _, i := range all {
			for _, scenario := range t.scenarios {
				if scenario == banScenario && i.system.name != Varnish {
					continue
				}
				took, err := t.purgeTag(ctx, i, scenario)
				if err != nil {
					t.fault(scenario, i.system.name, t.round, err)
					continue
				}
				t.record(scenario, i.system.name, t.round, map[string]float64{valuePurge: float64(took.Microseconds())})
				t.say("  %-14s %-14s %s", scenario, i.system.name, took)
			}
		}
		return nil
	},
}

// purgeTag fills i, purges the tag, and checks that a part of what was there is
// asked for again.
func (t turn) purgeTag(ctx context.Context, i *instance, scenario string) (time.Duration, error) {
	if err := t.fill(ctx, i, purgeSet); err != nil {
		return 0, err
	}
	if err := i.resume(); err != nil {
		return 0, err
	}
	defer func() { _ = i.pause() }()
	// A hundredth of the objects, spread over all.
	var sample []string
	for n := 0; n < purgeSet.Count; n += 100 {
		sample = append(sample, bare.Path(purgeSet.Kind, purgeSet.Size, n))
	}
	asked := func() (int64, error) {
		before, err := t.originStats(ctx)
		if err != nil {
			return 0, err
		}
		if err := bare.Send(ctx, i.address(), siteHost, 8, slices.Values(sample)); err != nil {
			return 0, err
		}
		after, err := t.originStats(ctx)
		return after.Requests - before.Requests, err
	}
	if n, err := asked(); err != nil || n > 0 {
		return 0, fmt.Errorf("%d of %d objects were not in the cache before the purge (%v)", n, len(sample), err)
	}
	began := time.Now()
	if err := sendPurge(ctx, i, scenario); err != nil {
		return 0, err
	}
	took := time.Since(began)
	if n, err := asked(); err != nil || n != int64(len(sample)) {
		return 0, fmt.Errorf("only %d of %d objects were fetched again after the purge (%v)", n, len(sample), err)
	}
	return took, nil
}

// sendPurge returns when the system says that it has purged.
func sendPurge(ctx context.Context, i *instance, scenario string) error {
	method, url, body := "PURGETAG", "http://"+i.address()+"/", ""
	switch {
	case i.system.name == Weir:
		method, url = http.MethodPost, "http://127.0.0.1:"+strconv.Itoa(i.setup.AdminPort)+"/v1/purge"
		body = `{"tags": ["` + bare.Tag + `"]}`
	case scenario == banScenario:
		method = "BANTAG"
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	req.Header.Set("xkey", bare.Tag)
	if i.system.name == Weir {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot purge: %w", err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot purge: answered %s", res.Status)
	}
	return nil
}
