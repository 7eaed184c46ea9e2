package main

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"weir/configs"
	"weir/invalidation"
	"weir/proxy/admin"
)

// openInvalidation prepares what is known of purges. The log is in the directory of
// the disk tier, since what it says concerns what is stored there, and is attached
// when that is open; without a disk tier purges are kept in memory.
func (n *node) openInvalidation() (err error) {
	name := n.name()
	o := invalidation.Options{Node: name, Log: n.log, Applied: func(p invalidation.Purge) { n.purgeApplied(name, &p) }}
	if d := n.cfg.Tiers.Disk; d != nil {
		o.Dir, o.Mark, o.MaxLog = filepath.Join(d.Path, "purges"), filepath.Join(d.Path, "PURGES"), d.PurgeLog
		o.Later = true
		o.MakeRoom = func() bool {
			t := n.room.Load()
			return t != nil && t.MakeRoom()
		}
	}
	n.purges, err = invalidation.Open(o)
	return err
}

// purgeApplied counts and tells what took effect. name is this node's.
func (n *node) purgeApplied(name string, p *invalidation.Purge) {
	for _, f := range p.Facts {
		n.metrics.Purged(uint8(f.Kind - invalidation.URL))
	}
	if p.ID.Node != name {
		n.audit.Received(p)
	}
	n.events.Publish("purge", purgeRecord(p))
}

// purgeService is the one way in which the API and the PURGE method purge.
func (n *node) purgeService() *invalidation.Service {
	s := &invalidation.Service{Node: n.purges, Timer: n.metrics, Audit: n.audit}
	if n.bus != nil {
		s.Peers = n.bus
	}
	return s
}

// purgeSource is the node as the admin plane purges through it.
type purgeSource struct{ n *node }

// Purge implements admin.PurgeSource.
func (s purgeSource) Purge(ctx context.Context, who invalidation.Who, r *admin.PurgeRequest, timeout time.Duration) (admin.PurgeResult, error) {
	if r.Wait != "all" {
		timeout = 0
	}
	done, err := s.n.purger.Purge(ctx, who, s.n.proxy.Config().Rules, timeout, invalidation.Request{
		URLs: r.URLs, Tags: r.Tags, Prefixes: r.Prefixes, Hosts: r.Hosts, All: r.All, Soft: r.Soft,
	})
	if err != nil {
		return admin.PurgeResult{}, err
	}
	result := admin.PurgeResult{
		ID: done.Purge.ID.String(), Applied: []admin.PurgeByNode{{Node: s.n.purges.Name(), Micros: done.Took.Microseconds()}},
		Pending: append([]string{}, done.Pending...),
	}
	if done.Purge.Unlogged {
		result.Warning = "in effect, and not in the log of purges yet, which cannot be written now; if weir ends before it can be, " +
			"the next start uses nothing that is on disk (purges.log in /v1/status)"
	}
	for _, a := range done.Acks {
		result.Applied = append(result.Applied, admin.PurgeByNode{Node: a.Node, Micros: a.After.Microseconds()})
	}
	return result, nil
}

// Purges implements admin.PurgeSource.
func (s purgeSource) Purges(after string, limit int) []admin.PurgeRecord {
	return purgeRecords(s.n.purges.List(after, limit))
}

// LastPurges implements admin.PurgeSource.
func (s purgeSource) LastPurges(n int) []admin.PurgeRecord { return purgeRecords(s.n.purges.Last(n)) }

func purgeRecords(list []invalidation.Purge) []admin.PurgeRecord {
	out := make([]admin.PurgeRecord, len(list))
	for i := range list {
		out[i] = purgeRecord(&list[i])
	}
	return out
}

// FindPurge implements admin.PurgeSource. How long it took is known only while
// somebody waits.
func (s purgeSource) FindPurge(id string) (admin.PurgeRecord, admin.PurgeResult, bool) {
	p, ok := s.n.purges.Find(id)
	if !ok {
		return admin.PurgeRecord{}, admin.PurgeResult{}, false
	}
	result := admin.PurgeResult{ID: id, Applied: []admin.PurgeByNode{{Node: s.n.purges.Name()}}, Pending: []string{}}
	if s.n.bus != nil {
		applied, pending := s.n.bus.Applied(p.ID)
		for _, name := range applied {
			result.Applied = append(result.Applied, admin.PurgeByNode{Node: name})
		}
		result.Pending = append(result.Pending, pending...)
	}
	return purgeRecord(&p), result, true
}

func purgeRecord(p *invalidation.Purge) admin.PurgeRecord {
	r := admin.PurgeRecord{ID: p.ID.String(), At: time.UnixMilli(p.At).UTC(), Facts: make([]admin.PurgeFact, len(p.Facts))}
	for i, f := range p.Facts {
		r.Facts[i] = admin.PurgeFact{Kind: f.Kind.String(), Scope: f.Scope, Soft: f.Soft}
	}
	return r
}

// purgeTokens are the digests of the admin tokens that may purge URLs, by name.
func purgeTokens(cfg *configs.Config) map[string][32]byte {
	m := make(map[string][32]byte, len(cfg.Admin.Tokens))
	for _, t := range cfg.Admin.Tokens {
		if slices.Contains(t.Scopes, configs.ScopePurge) {
			m[t.Name] = t.SHA256
		}
	}
	return m
}
