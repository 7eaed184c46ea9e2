package configs

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const reloadBase = `
listen: [127.0.0.1:8080, {address: "127.0.0.1:8443", tls: {cert: old.pem, key: old.key}}]
admin: {listen: "10.0.0.1:8081", tokens: [{name: a, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, scopes: read}]}
tiers: {ram: {size: 64MiB}, disk: {path: data, size: 1GiB}}
origins:
  shop: {servers: ["http://127.0.0.1:9000"]}
policies:
  - {name: all, origin: shop}
limits: {header_size: 16KiB}
timeouts: {drain: 30s}
`

// TestReloadLive holds that what can change live does, and nothing is noted.
func TestReloadLive(t *testing.T) {
	old := mustParse(t, reloadBase)
	next := mustParse(t, `
listen: [{address: "127.0.0.1:8443", tls: {cert: new.pem, key: new.key}}, 127.0.0.1:8080]
trusted_proxies: [10.0.0.0/8]
admin: {listen: "10.0.0.1:8081", tokens: [{name: b, sha256: 0f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, scopes: read}]}
tiers: {ram: {size: 64MiB}, disk: {path: data, size: 1GiB}}
origins:
  shop: {servers: ["http://127.0.0.1:9001"]}
policies:
  - {name: other, origin: shop, ttl: {default: 1h}}
access_log: stderr
log: {level: debug}
timeouts: {drain: 5s}
`)
	effective, notes := Reloadable(old, next)
	if len(notes) > 0 || len(Diff(old, next)) > 0 {
		t.Errorf("noted: %q", notes)
	}
	want := *next
	want.Listen = []Listener{{Address: "127.0.0.1:8080"}, {Address: "127.0.0.1:8443", TLS: &KeyPair{"new.pem", "new.key"}}}
	if !reflect.DeepEqual(effective, &want) {
		t.Errorf("got\n%+v\nwant\n%+v", effective, &want)
	}
	if old.Listen[1].TLS.Cert != "old.pem" || next.Listen[0].TLS.Cert != "new.pem" {
		t.Error("an argument was changed")
	}
}

// TestReloadRestart holds that what needs a restart stays, each with its note.
func TestReloadRestart(t *testing.T) {
	old := mustParse(t, reloadBase)
	next := mustParse(t, `
listen: [127.0.0.1:8090, {address: "127.0.0.1:8443", proxy_protocol: true}]
admin: {listen: 127.0.0.1:8082}
tiers: {ram: {size: 128MiB, max_object: 1MiB}, disk: {path: other, size: 2GiB, max_object: 1GiB, purge_log: 1MiB}}
origins:
  shop: {servers: ["http://127.0.0.1:9000"]}
policies:
  - {name: new, origin: shop}
cluster: {node: n, listen: "127.0.0.1:4248"}
cache_name: edge
limits: {connections: 5, connections_per_ip: 1, header_size: 32KiB, body_size: 1GiB}
timeouts: {header: 1s, idle: 2s, progress: 3s, stale_wait: 5s, lame_duck: 6s, drain: 4s}
`)
	effective, notes := Reloadable(old, next)
	for i, want := range []string{
		"listen: 127.0.0.1:8080, 127.0.0.1:8443 with TLS stays until a restart; the file says 127.0.0.1:8090, 127.0.0.1:8443 with proxy_protocol",
		"admin.listen: 10.0.0.1:8081 stays until a restart; the file says 127.0.0.1:8082",
		"admin.tokens: the list so far stays until a restart; the file says none, which only a loopback admin.listen may have",
		"tiers.ram.size: 64MiB stays until a restart; the file says 128MiB",
		"tiers.ram.max_object: 4MiB stays until a restart; the file says 1MiB",
		"tiers.disk.path: data stays until a restart; the file says other",
		"tiers.disk.size: 1GiB stays until a restart; the file says 2GiB",
		"tiers.disk.max_object: 256MiB stays until a restart; the file says 1GiB",
		"tiers.disk.purge_log: 128MiB stays until a restart; the file says 1MiB",
		"cluster: a single node stays until a restart; the file says node n on 127.0.0.1:4248",
		"cache_name: weir stays until a restart; the file says edge",
		"limits.connections: 10000 stays until a restart; the file says 5",
		"limits.connections_per_ip: 0 stays until a restart; the file says 1",
		"limits.waiters: 5000 stays until a restart; the file says 3",
		"limits.header_size: 16KiB stays until a restart; the file says 32KiB",
		"limits.body_size: none stays until a restart; the file says 1GiB",
		"timeouts.header: 10s stays until a restart; the file says 1s",
		"timeouts.idle: 1m15s stays until a restart; the file says 2s",
		"timeouts.progress: 1m stays until a restart; the file says 3s",
	} {
		if i >= len(notes) || !strings.HasPrefix(notes[i], want) {
			t.Fatalf("note %d of %q: want %q", i, notes, want)
		}
	}
	if len(notes) != 19 {
		t.Errorf("%d notes: %q", len(notes), notes)
	}
	want := *old
	want.Policies, want.Warnings = next.Policies, next.Warnings
	want.Timeouts.StaleWait, want.Timeouts.LameDuck, want.Timeouts.Drain = 5*time.Second, 6*time.Second, 4*time.Second
	want.files, want.ramSize, want.diskSize, want.places = next.files, next.ramSize, next.diskSize, next.places
	if !reflect.DeepEqual(effective, &want) {
		t.Errorf("got\n%+v\nwant\n%+v", effective, &want)
	}
}

// TestReloadDisk holds the notes for a disk tier that comes or goes, or has the
// same size in other words.
func TestReloadDisk(t *testing.T) {
	disk := mustParse(t, reloadBase)
	ram := mustParse(t, strings.Replace(reloadBase, ", disk: {path: data, size: 1GiB}", "", 1))
	same := mustParse(t, strings.Replace(reloadBase, "size: 1GiB", "size: 1024MiB", 1))
	for _, c := range []struct {
		old, next *Config
		want      string
	}{
		{disk, ram, "tiers.disk: data stays until a restart; the file says no disk tier"},
		{ram, disk, "tiers.disk: no disk tier stays until a restart; the file says data"},
		{disk, same, ""},
	} {
		effective, notes := Reloadable(c.old, c.next)
		if strings.Join(notes, "|") != c.want {
			t.Errorf("got %q, want %q", notes, c.want)
		}
		if !reflect.DeepEqual(effective.Tiers, c.old.Tiers) {
			t.Errorf("the tiers changed: %+v", effective.Tiers)
		}
	}
}
