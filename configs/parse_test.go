package configs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, faults := Parse("weir.yaml", []byte(text))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return cfg
}

// TestMinimal holds every default.
func TestMinimal(t *testing.T) {
	cfg := mustParse(t, string(Minimal))
	want := &Config{
		Listen:         []Listener{{Address: "127.0.0.1:8080"}},
		TrustedProxies: []netip.Prefix{},
		Admin:          Admin{Listen: "127.0.0.1:8081"},
		Tiers:          Tiers{RAM: RAM{Size: 256 << 20, MaxObject: 4 << 20}},
		Origins: []Origin{{
			Name: "shop", Servers: []Server{{URL: "http://127.0.0.1:9000", Weight: 1}}, Resolve: 30 * time.Second,
			ConnectTimeout: 3 * time.Second, FirstByteTimeout: 30 * time.Second, BetweenBytesTimeout: 30 * time.Second,
			MaxConnections: 1024, MaxConnectionAge: 10 * time.Minute, KeepAlive: true, Queue: Queue{10_000, 10 * time.Second},
			MaxHeaderSize: 64 << 10, Retries: 1, RetryBudget: 0.1, Eject: Eject{false, 3, 0.5, 10 * time.Second, 10 * time.Second},
		}},
		Policies: []Policy{{
			Name: "all", Origin: "shop",
			Match: Match{Hosts: []string{}, Paths: []string{}, Methods: []string{}},
			TTL: TTL{
				StaleIfUnreachable: DefaultStaleIfUnreachable, UnreachableStatus: [][2]int{{502, 504}}, HitForMiss: 2 * time.Minute, Targets: []string{"Weir-Cache-Control", "Cdn-Cache-Control"},
				ErrorMax: 10 * time.Second, StaleDespite: []string{},
				Heuristic: Heuristic{Enabled: true, Fraction: 0.1, Max: time.Hour},
				TrustDate: true,
			},
			Key:   Key{Headers: []string{}, Cookies: []string{}},
			Vary:  Vary{Normalize: true, Ignore: []string{}},
			Reuse: Reuse{Authorization: true, Date: true, Head: true, MustUnderstand: true, Parts: true, Post: true},
			Tags:  Tags{Headers: defaultTagHeaders, Max: DefaultTags, MaxBytes: DefaultTagBytes},
			Purge: Purge{Networks: []netip.Prefix{}, Tokens: []string{}, Hosts: []string{}},
		}},
		CacheName: "weir",
		Log:       Log{Level: slog.LevelInfo},
		Limits:    Limits{Connections: 10_000, Waiters: 5000, HeaderSize: 16 << 10, MemoryInFlight: 64 << 20, Spool: Spool{"", 1 << 30}},
		Timeouts:  Timeouts{Header: 10 * time.Second, Idle: 75 * time.Second, Progress: time.Minute, StaleWait: time.Second, LameDuck: 5 * time.Second, Drain: 30 * time.Second},
		file:      "weir.yaml",
	}
	cfg.ramSize, cfg.diskSize = value{}, value{} // tested in TestCheckMachine
	cfg.places = nil                             // tested in TestPolicyFault
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got\n%+v\nwant\n%+v", cfg, want)
	}
}

const contractSample = `
listen: 127.0.0.1:8080            # or a list
trusted_proxies: [10.0.0.0/8]
admin:
  listen: 127.0.0.1:8081
  tokens: []
tiers:
  ram:  {size: 512MiB, max_object: 4MiB}
  disk: {path: ./weir-data, size: 10GiB, max_object: 1GiB}
origins:
  shop: {servers: ["http://127.0.0.1:9000"], timeout: 30s}
policies:
  - name: static
    match: {host: "*.example.com", path: "/static/*", method: [GET, HEAD]}
    origin: shop
    ttl: {default: 1h, override: 24h, stale_while_revalidate: 60s, stale_if_error: 24h}
    cookies: strip
    key: {query: {ignore: [utm_*, gclid]}, headers: [], cookies: []}
  - name: rest
    origin: shop
cluster:
  node: edge-1
  listen: 10.0.0.5:4248
  peers: [10.0.0.6:4248, 10.0.0.7:4248]
  secret_file: /etc/weir/cluster.secret
  tls: {ca: ca.pem, cert: edge-1.pem, key: edge-1.key}
`

// TestContract holds the sample that the contract shows.
func TestContract(t *testing.T) {
	cfg := mustParse(t, contractSample)
	if len(cfg.Warnings) != 0 {
		t.Errorf("warnings: %v", cfg.Warnings)
	}
	if want := (Tiers{RAM{512 << 20, 4 << 20}, &Disk{"./weir-data", 10 << 30, 1 << 30, time.Second, false, 128 << 20}}); !reflect.DeepEqual(cfg.Tiers, want) {
		t.Errorf("tiers: %+v", cfg.Tiers)
	}
	p := cfg.Policies[0]
	if want := (Match{Hosts: []string{"*.example.com"}, Paths: []string{"/static/*"}, Methods: []string{"GET", "HEAD"}}); !reflect.DeepEqual(p.Match, want) {
		t.Errorf("match: %+v", p.Match)
	}
	if p.TTL.Default != time.Hour || p.TTL.Override != 24*time.Hour || p.TTL.StaleWhileRevalidate != time.Minute || p.TTL.StaleIfError != 24*time.Hour {
		t.Errorf("ttl: %+v", p.TTL)
	}
	if want := (QueryKey{Mode: QueryIgnore, Names: []string{"utm_*", "gclid"}}); !reflect.DeepEqual(p.Key.Query, want) {
		t.Errorf("query: %+v", p.Key.Query)
	}
	want := &Cluster{
		Name: "weir", Lease: 2 * time.Second, Forget: time.Hour,
		Node: "edge-1", Listen: "10.0.0.5:4248", Peers: []string{"10.0.0.6:4248", "10.0.0.7:4248"}, SecretFile: "/etc/weir/cluster.secret",
		TLS: &ClusterTLS{CA: "ca.pem", Cert: "edge-1.pem", Key: "edge-1.key"}, Quorum: 2,
	}
	if !reflect.DeepEqual(cfg.Cluster, want) {
		t.Errorf("cluster: %+v", cfg.Cluster)
	}
}

// TestValues reads each kind of value that the other samples do not have.
func TestValues(t *testing.T) {
	cfg := mustParse(t, fmt.Sprintf(`
listen: ["127.0.0.1:80", {address: ":443", tls: {cert: c.pem, key: k.pem}, proxy_protocol: true}]
trusted_proxies: [10.0.0.1, fd00::/8]
admin:
  listen: 10.0.0.1:8081
  tokens: [{name: ci, sha256: %x, scopes: [read, "purge:tag"]}]
tiers: {ram: {size: 2MiB}, disk: {path: d, size: 64MiB}}
origins:
  a: {servers: "https://a:8443", timeout: 2s, http2: true, host: "B.example:81", tls: {ca: r.pem, server_name: C.example, cert: x.pem, key: y.pem}}
policies:
  - name: p
    origin: a
    match: {header: {x-b: "*beta*", x-a: true, X-C: false, x-d: "true"}}
    ttl: {negative: 5s, targets: [], heuristic: false}
    key: {query: {only: []}, headers: [accept-language], cookies: [s]}
    client_directives: ignore
    tags: {headers: []}
    cache_status_key: true
    purge: {networks: [10.0.0.0/8], tokens: [ci]}
  - {name: q, origin: a, match: {path: /q}, pass: true, ttl: {heuristic: {max: 1h}}}
cluster: {node: n, nats: "nats://10.0.0.9:4222", on_isolation: revalidate, quorum: 2, lease: 5s, forget: 1d, name: other}
access_log: {file: a.log}
log: {level: debug, format: json}
limits: {body_size: 1GB, connections_per_ip: 10, waiters: 7, memory_in_flight: 8MiB, spool: {size: 64MiB}}
`, sha256.Sum256([]byte("secret"))))

	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	check("listen", cfg.Listen, []Listener{{Address: "127.0.0.1:80"}, {":443", &KeyPair{"c.pem", "k.pem"}, true}})
	check("trusted_proxies", cfg.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("fd00::/8")})
	check("tokens", cfg.Admin.Tokens, []Token{{"ci", sha256.Sum256([]byte("secret")), []Scope{ScopeRead, ScopePurgeTag}}})
	check("a quarter", cfg.Tiers, Tiers{RAM{2 << 20, 512 << 10}, &Disk{"d", 64 << 20, 16 << 20, time.Second, false, 128 << 20}})
	o, found := cfg.Origin("a")
	check("origin", found, true)
	check("timeouts", []time.Duration{o.ConnectTimeout, o.FirstByteTimeout, o.BetweenBytesTimeout, o.Queue.Wait},
		[]time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second})
	check("host", o.Host, "b.example:81")
	check("tls", o.TLS, OriginTLS{CA: "r.pem", ServerName: "c.example", Client: &KeyPair{"x.pem", "y.pem"}})
	p := cfg.Policies[0]
	check("headers", p.Match.Headers, []HeaderMatch{
		{"X-A", HeaderPresent, ""}, {"X-B", HeaderGlob, "*beta*"}, {"X-C", HeaderAbsent, ""}, {"X-D", HeaderGlob, "true"},
	})
	check("negative", p.TTL.Negative, map[int]time.Duration{404: 5e9, 405: 5e9, 410: 5e9, 414: 5e9, 501: 5e9})
	check("targets", p.TTL.Targets, []string{})
	check("heuristic", p.TTL.Heuristic.Enabled, false)
	check("key", p.Key, Key{QueryKey{Mode: QueryOnly, Names: []string{}}, []string{"Accept-Language"}, []string{"s"}})
	check("switches", []any{p.ClientDirectives, p.CacheStatusKey, len(p.Tags.Headers), p.Pass}, []any{ClientIgnore, true, 0, false})
	check("purge", p.Purge, Purge{[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []string{"ci"}, []string{}})
	check("pass", cfg.Policies[1].Pass, true)
	check("heuristic max", cfg.Policies[1].TTL.Heuristic, Heuristic{true, 0.1, time.Hour})
	check("cluster", *cfg.Cluster, Cluster{Node: "n", NATS: "nats://10.0.0.9:4222", Peers: []string{}, OnIsolation: IsolationRevalidate, Quorum: 2, Lease: 5 * time.Second, Forget: 24 * time.Hour, Name: "other"})
	check("access_log", cfg.AccessLog, AccessLog{AccessLogFile, "a.log"})
	check("log", cfg.Log, Log{slog.LevelDebug, LogJSON})
	check("limits", cfg.Limits, Limits{10_000, 10, 7, 16 << 10, 1e9, 8 << 20, Spool{"", 64 << 20}})
}

// TestPool reads what the contract says of a pool that knows its servers, and the
// forms that it does not show.
func TestPool(t *testing.T) {
	cfg := mustParse(t, `
listen: 127.0.0.1:8080
origins:
  shop:
    servers:
      - http://10.0.0.1:9000
      - {url: "http://10.0.0.2:9000", weight: 2}
      - {url: "http://10.0.9.1:9000", backup: true}
    balance: least_requests
    resolve: 30s
    max_connection_age: 10m
    keepalive: true
    eject: {failures: 3, ratio: 50%, window: 10s, for: 10s}
    health: {path: /healthz, interval: 5s, timeout: 2s, rise: 2, fall: 3, status: [200-399]}
    retries: 1
    retry_budget: 10%
    hedge: {after: p95, at_most: 2%}
    fallback: shop-static
  shop-static:
    servers: {url: "http://b"}
    balance: round_robin
    resolve: 0s
    keepalive: false
    health: {path: "/h?a=b", status: [200, 301-302, "404"], interval: 1s}
    hedge: {after: 40ms}
    eject: false
    queue: {size: 7, wait: 3s}
policies: [{name: all, origin: shop}]
`)
	if len(cfg.Warnings) > 0 {
		t.Error(cfg.Warnings)
	}
	shop, static := cfg.Origins[0], cfg.Origins[1]
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	check("servers", shop.Servers, []Server{{"http://10.0.0.1:9000", 1, false}, {"http://10.0.0.2:9000", 2, false}, {"http://10.0.9.1:9000", 1, true}})
	check("eject", shop.Eject, Eject{false, 3, 0.5, 10 * time.Second, 10 * time.Second})
	check("no ejection", static.Eject, Eject{true, 3, 0.5, 10 * time.Second, 10 * time.Second})
	check("health", *shop.Health, Health{"/healthz", 5 * time.Second, 2 * time.Second, 2, 3, [][2]int{{200, 399}}})
	check("hedge", shop.Hedge, Hedge{Quantile: 0.95, AtMost: 0.02})
	check("fallback", shop.Fallback, "shop-static")
	check("one server", static.Servers, []Server{{"http://b", 1, false}})
	check("switches", []any{shop.Balance, static.Balance, shop.KeepAlive, static.KeepAlive, static.Resolve},
		[]any{BalanceLeastRequests, BalanceRoundRobin, true, false, time.Duration(0)})
	check("other health", *static.Health, Health{"/h?a=b", time.Second, time.Second, 2, 3, [][2]int{{200, 200}, {301, 302}, {404, 404}}})
	check("other hedge", static.Hedge, Hedge{After: 40 * time.Millisecond, AtMost: 0.02})
	check("queue", static.Queue, Queue{7, 3 * time.Second})
}

// TestAccessLogWords reads the plain forms, off not being a boolean here.
func TestAccessLogWords(t *testing.T) {
	for word, want := range map[string]AccessLogTo{"off": AccessLogOff, "stderr": AccessLogStderr} {
		cfg := mustParse(t, string(Minimal)+"access_log: "+word+"\n")
		if cfg.AccessLog.To != want || cfg.AccessLog.To.String() != word {
			t.Errorf("%s: got %v", word, cfg.AccessLog)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sample.yaml", string(Sample))
	cfg, err := Load("sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Warnings) > 0 {
		t.Errorf("the sample has warnings: %v", cfg.Warnings)
	}

	_, err = Load(filepath.Join(dir, "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.HasSuffix(err.Error(), `none.yaml": no such file or directory (valid: the name of a file)`) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.Mkdir("conf.d", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Load("conf.d")
	if want := `cannot read the configuration "conf.d": is a directory (valid: a file, such as conf.d/weir.yaml)`; err == nil || err.Error() != want {
		t.Errorf("a directory: %v, want %s", err, want)
	}
	// Root may read everything, so that the error of the system is made up here.
	err = unreadable("weir.yaml", &os.PathError{Op: "open", Path: "weir.yaml", Err: os.ErrPermission})
	if want := fmt.Sprintf(`cannot read the configuration "weir.yaml": permission denied (valid: a file that the user with the id %d may read)`, os.Getuid()); err.Error() != want {
		t.Errorf("no permission: %v, want %s", err, want)
	}
	write("bad.yaml", "listen: {address: 8080, tls: {cert: c.pem, key: k.pem}}\n")
	_, err = Load("bad.yaml")
	faults, ok := errors.AsType[Faults](err)
	// The address, the two files, origins and policies: parsing and looking at
	// files report together, in file order.
	if !ok || len(faults) != 5 || faults[4].Column < faults[3].Column || faults[0].File != "bad.yaml" {
		t.Errorf("got %v", err)
	}
	write("large.yaml", string(bytes.Repeat([]byte("#\n"), MaxFile)))
	if _, err = Load("large.yaml"); err == nil || !strings.Contains(err.Error(), "too large (valid: at most 1MiB)") {
		t.Errorf("a large file: %v", err)
	}
}

// switchedOff finds the keys of the sample that stand behind a "#"; prose has
// exactly one space there.
var switchedOff = regexp.MustCompile(`(?m)^( *)#((?:  +)?(?:- )?[a-z_0-9]+:(?: .*)?|(?:  +)# .*)$`)

// TestSampleSwitchedOn holds that the examples in the sample are right as well.
func TestSampleSwitchedOn(t *testing.T) {
	on := switchedOff.ReplaceAllString(string(Sample), "$1$2")
	cfg := mustParse(t, on)
	if cfg.Cluster == nil || cfg.Cluster.TLS == nil || len(cfg.Admin.Tokens) != 1 || cfg.Listen[1].TLS == nil ||
		cfg.Origins[1].TLS.Client == nil || len(cfg.Policies[0].Purge.Tokens) != 1 {
		t.Errorf("not switched on: %+v", cfg)
	}
}

// schemaOf returns the general path of every key that there is.
func schemaOf(t *testing.T) []string {
	t.Helper()
	d := &decoder{schema: make(map[string]bool)}
	on := switchedOff.ReplaceAllString(string(Sample), "$1$2")
	top := value{d: d}.child(d.document([]byte(on)), place{1, 1}, "", "")
	d.config(&Config{}, top.object(""))
	var keys []string
	for key := range d.schema {
		keys = append(keys, key)
	}
	if len(keys) < 90 {
		t.Fatalf("only %d keys found", len(keys))
	}
	return keys
}

// TestEveryKeyIsExplained holds the sample and the reference against the schema.
func TestEveryKeyIsExplained(t *testing.T) {
	docs, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := schemaOf(t)
	for _, key := range keys {
		if !bytes.Contains(docs, []byte("`"+key+"`")) {
			t.Errorf("docs/configuration.md does not name `%s`", key)
		}
		name := key[strings.LastIndexByte(key, '.')+1:]
		if strings.HasPrefix(name, "<") {
			continue // a name of the operator's
		}
		if !regexp.MustCompile(`(?m)[ #{,]` + name + `:|^` + name + `:`).Match(Sample) {
			t.Errorf("weir.sample.yaml does not name %s", key)
		}
	}
	// And the other way round: what the reference names, exists.
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(docs, -1) {
		found := false
		for _, key := range keys {
			found = found || key == string(m[1])
		}
		if !found {
			t.Errorf("docs/configuration.md names `%s`, which does not exist", m[1])
		}
	}
}

// TestHostileFiles holds that a file made to be slow is refused like any other:
// each of these would take minutes if the work were not bounded.
func TestHostileFiles(t *testing.T) {
	repeat := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	aliases := "p: &p [" + strings.Repeat("/x,", 1000) + "]\nm: &m {path: *p}\npolicies: [" + strings.Repeat("{match: *m},", 20_000) + "]"
	for name, text := range map[string]string{
		"unknown keys":     repeat("k%d: 1\n", 90_000),
		"policies":         "origins: {a: {servers: 'http://a'}}\npolicies:\n" + repeat("- {name: p%d, origin: b}\n", 10_000),
		"origins":          "origins:\n" + repeat("  o%d: {}\n", 90_000) + "policies: [" + strings.Repeat("{origin: x},", 9_000) + "]",
		"listeners":        "listen: [" + repeat("'127.0.0.1:%d',", 40_000) + "]",
		"paths":            "policies: [{match: {path: [" + repeat("/%d*,", 60_000) + "]}},{match: {path: [" + repeat("/%d*,", 60_000) + "]}}]",
		"aliases":          aliases,
		"depth":            strings.Repeat("[", 100_000),
		"long scalar":      "listen: " + strings.Repeat("x", MaxFile-100),
		"international":    "policies: [{match: {host: '" + strings.Repeat("ü", 500_000) + "'}}]",
		"long number":      "tiers: {ram: {size: " + strings.Repeat("9", 900_000) + "MiB}}",
		"duration":         "timeouts: {idle: " + strings.Repeat("0s", 400_000) + "}",
		"one key, forever": strings.Repeat("listen: x\n", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			cfg, faults := Parse("weir.yaml", []byte(text))
			if cfg != nil || len(faults) == 0 {
				t.Fatal("accepted")
			}
			for _, f := range faults {
				if len(f.String()) > 4096 {
					t.Fatalf("a fault of %d bytes: %.200s", len(f.String()), f)
				}
			}
		})
	}
}
