package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Reloadable merges a new configuration into the one that runs: effective is
// next with all that only a restart can change taken from old, and needRestart
// says for each such change, in words, what was asked for and what stays.
// effective is as consistent as a Config from Parse; old and next are left alone.
func Reloadable(old, next *Config) (effective *Config, needRestart []string) {
	merged := *next
	note := func(key, from, to string) {
		needRestart = append(needRestart, fmt.Sprintf("%s: %s stays until a restart; the file says %s", key, from, to))
	}

	merged.Listen = mergeListeners(old.Listen, next.Listen)
	if from, to := describeListeners(old.Listen), describeListeners(next.Listen); from != to {
		note("listen", from, to)
	}
	if old.Admin.Listen != next.Admin.Listen {
		note("admin.listen", old.Admin.Listen, next.Admin.Listen)
		merged.Admin.Listen = old.Admin.Listen
		if !loopback(old.Admin.Listen) && len(next.Admin.Tokens) == 0 {
			// Without this the old, open address would lose its protection.
			note("admin.tokens", "the list so far", "none, which only a loopback admin.listen may have")
			merged.Admin.Tokens = old.Admin.Tokens
		}
	}
	noteTiers(old.Tiers, next.Tiers, note)
	merged.Tiers = old.Tiers
	if old.Tiers.Disk != nil && next.Tiers.Disk != nil {
		disk := *old.Tiers.Disk
		disk.Required = next.Tiers.Disk.Required
		merged.Tiers.Disk = &disk
	}
	if !reflect.DeepEqual(old.Cluster, next.Cluster) {
		note("cluster", describeCluster(old.Cluster), describeCluster(next.Cluster))
	}
	merged.Cluster = old.Cluster
	if old.CacheName != next.CacheName {
		note("cache_name", old.CacheName, next.CacheName)
	}
	merged.CacheName = old.CacheName
	noteSettings(old.Limits.settings(), next.Limits.settings(), note)
	merged.Limits = old.Limits
	noteSettings(old.Timeouts.settings(), next.Timeouts.settings(), note)
	merged.Timeouts = old.Timeouts
	merged.Timeouts.StaleWait = next.Timeouts.StaleWait
	merged.Timeouts.LameDuck, merged.Timeouts.Drain = next.Timeouts.LameDuck, next.Timeouts.Drain
	return &merged, needRestart
}

// Diff says what Reloadable would leave for a restart.
func Diff(old, next *Config) []string {
	_, needRestart := Reloadable(old, next)
	return needRestart
}

// mergeListeners keeps the old sockets, with the certificates of the new
// configuration where it still has the same listener.
func mergeListeners(old, next []Listener) []Listener {
	merged := slices.Clone(old)
	for i := range merged {
		for _, n := range next {
			if n.Address == merged[i].Address && n.TLS != nil && merged[i].TLS != nil {
				merged[i].TLS = n.TLS
			}
		}
	}
	return merged
}

// describeListeners leaves out the certificates, which change live.
func describeListeners(all []Listener) string {
	words := make([]string, 0, len(all))
	for _, l := range all {
		word := l.Address
		if l.TLS != nil {
			word += " with TLS"
		}
		if l.ProxyProtocol {
			word += " with proxy_protocol"
		}
		words = append(words, word)
	}
	// The order in the file means nothing.
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func describeCluster(c *Cluster) string {
	switch {
	case c == nil:
		return "a single node"
	case c.NATS != "":
		return "node " + c.Node + " on " + c.NATS
	}
	peers := "without peers"
	if len(c.Peers) > 0 {
		peers = "with peers " + strings.Join(c.Peers, ", ")
	}
	return fmt.Sprintf("node %s on %s %s (and its other settings)", c.Node, c.Listen, peers)
}

func noteTiers(old, next Tiers, note func(key, from, to string)) {
	sizes := func(key string, from, to int64) {
		if from != to {
			note(key, formatSize(from), formatSize(to))
		}
	}
	sizes("tiers.ram.size", old.RAM.Size, next.RAM.Size)
	sizes("tiers.ram.max_object", old.RAM.MaxObject, next.RAM.MaxObject)
	switch {
	case old.Disk == nil && next.Disk == nil:
	case old.Disk == nil:
		note("tiers.disk", "no disk tier", next.Disk.Path)
	case next.Disk == nil:
		note("tiers.disk", old.Disk.Path, "no disk tier")
	default:
		if old.Disk.Path != next.Disk.Path {
			note("tiers.disk.path", old.Disk.Path, next.Disk.Path)
		}
		sizes("tiers.disk.size", old.Disk.Size, next.Disk.Size)
		sizes("tiers.disk.max_object", old.Disk.MaxObject, next.Disk.MaxObject)
		if old.Disk.ReadTimeout != next.Disk.ReadTimeout {
			note("tiers.disk.read_timeout", formatDuration(old.Disk.ReadTimeout), formatDuration(next.Disk.ReadTimeout))
		}
		sizes("tiers.disk.purge_log", old.Disk.PurgeLog, next.Disk.PurgeLog)
	}
}

// setting is one key with its value as the file would write it.
type setting struct{ key, value string }

func (l Limits) settings() []setting {
	body := "none"
	if l.BodySize > 0 {
		body = formatSize(l.BodySize)
	}
	spool := "none"
	if l.Spool.Size > 0 {
		spool = formatSize(l.Spool.Size)
		if l.Spool.Path != "" {
			spool += " in " + l.Spool.Path
		}
	}
	return []setting{
		{"limits.connections", strconv.Itoa(l.Connections)},
		{"limits.connections_per_ip", strconv.Itoa(l.ConnectionsPerIP)},
		{"limits.waiters", strconv.Itoa(l.Waiters)},
		{"limits.header_size", formatSize(l.HeaderSize)},
		{"limits.body_size", body},
		{"limits.memory_in_flight", formatSize(l.MemoryInFlight)},
		{"limits.spool", spool},
	}
}

// settings leaves out stale_wait, which belongs to requests, and lame_duck and
// drain, which are looked at only when weir stops.
func (t Timeouts) settings() []setting {
	return []setting{
		{"timeouts.header", formatDuration(t.Header)},
		{"timeouts.idle", formatDuration(t.Idle)},
		{"timeouts.progress", formatDuration(t.Progress)},
	}
}

// noteSettings notes what differs between two lists of the same keys.
func noteSettings(old, next []setting, note func(key, from, to string)) {
	for i := range old {
		if old[i].value != next[i].value {
			note(old[i].key, old[i].value, next[i].value)
		}
	}
}
