package configs

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Defaults of the top level.
const (
	DefaultAdminListen = "127.0.0.1:8081"
	DefaultCacheName   = "weir"
	DefaultRAMSize     = 256 * MiB
	// DefaultRAMMaxObject and DefaultDiskMaxObject give way to a quarter of a
	// tier that is small, so that no single object empties it.
	DefaultRAMMaxObject  = 4 * MiB
	DefaultDiskMaxObject = GiB
	// DefaultReadTimeout is far above what a device takes that is only busy.
	DefaultReadTimeout = time.Second
	// DefaultPurgeLog holds about a million purges of one tag each.
	DefaultPurgeLog = 128 * MiB
	// MinPurgeLog holds a few hundred.
	MinPurgeLog = 64 * KiB
	maxPurgeLog = 64 * GiB

	// DefaultInFlight is what bodies on their way may take in memory where a quarter
	// of the RAM tier is less; MinInFlight is a few dozen large ones at once.
	DefaultInFlight = 64 * MiB
	MinInFlight     = 4 * MiB
	// DefaultSpool holds thousands of bodies; of MinSpool a body gets a sixteenth.
	DefaultSpool = GiB
	MinSpool     = 16 * MiB

	// DefaultTags and DefaultTagBytes hold the tags of a large page; an object on
	// disk can bear the bounds.
	DefaultTags     = 4096
	DefaultTagBytes = 64 * KiB
	maxTags         = 16 << 10
	maxTagBytes     = MiB

	// MinRAMSize holds a few objects; MinDiskSize a few segments.
	MinRAMSize  = MiB
	MinDiskSize = 8 * MiB
	// maxTier is beyond any machine: a slip, not a wish.
	maxTier = 1024 * TiB

	// shortest and longest bound every time limit of a connection: below, no
	// network answers; above, the limit protects from nothing.
	shortest = 10 * time.Millisecond
	longest  = 24 * time.Hour
)

// config reads the top level. The order here is the order in which faults name
// the valid keys.
func (d *decoder) config(cfg *Config, top *object) {
	listen := top.need("listen", validAddress)
	cfg.Listen = listeners(listen)
	cfg.TrustedProxies = networks(top.key("trusted_proxies"))
	plane := top.key("admin")
	admin := plane.object("a mapping with listen and tokens" + shorthand(plane, "{listen: %q}", checkAddress))
	cfg.Admin = decodeAdmin(admin)
	decodeTiers(cfg, top.key("tiers").object("a mapping with ram and disk"))
	origins := top.need("origins", "origins: {shop: {servers: [\"http://127.0.0.1:9000\"]}}")
	var fallbacks []value
	cfg.Origins, fallbacks = decodeOrigins(origins)
	policies := top.need("policies", "policies: [{name: all, origin: shop}]")
	links := decodePolicies(cfg, policies)
	cfg.Cluster = decodeCluster(top.key("cluster"))
	cfg.CacheName = top.key("cache_name").str(DefaultCacheName, validName, checkName)
	cfg.AccessLog = decodeAccessLog(top.key("access_log"))
	log := top.key("log")
	cfg.Log = decodeLog(log.object("a mapping with level and format" + shorthand(log, "{level: %s}", oneOf(levelNames...))))
	cfg.Limits = decodeLimits(cfg.Tiers.RAM.Size, top.key("limits").object("a mapping of limits"))
	cfg.Timeouts = decodeTimeouts(top.key("timeouts").object("a mapping of timeouts"))
	top.done()

	d.checkAddresses(cfg, top)
	d.checkProxies(cfg, top)
	d.checkLinks(cfg, links, origins, admin)
	d.checkFallbacks(cfg, fallbacks)
	d.checkReserves(cfg, links)
	d.checkCookies(cfg, links)
	d.checkReach(cfg, links)
}

// listeners reads listen: an address, or a list of addresses and mappings.
func listeners(v value) []Listener {
	var all []Listener
	items := v.oneOrMany(validAddress)
	if len(items) > maxListeners {
		v.fault(fmt.Sprintf("at most %d", maxListeners), "these are %d addresses", len(items))
	}
	for _, item := range firstListeners(items) {
		if !isObject(item) {
			if a := item.str("", validAddress, checkAddress); a != "" {
				all = append(all, Listener{Address: a})
			}
			// Names the keys of a listener in the schema all the same.
			item.y = nil
		}
		// One address has the same keys whether or not it stands in a list.
		item.shape = "listen[]"
		o := item.object("an address, or a mapping with address, tls and proxy_protocol")
		l := Listener{
			Address:       o.need("address", validAddress).str("", validAddress, checkAddress),
			TLS:           keyPair(o.key("tls")),
			ProxyProtocol: o.key("proxy_protocol").boolean(false),
		}
		o.done()
		if l.Address != "" {
			all = append(all, l)
		}
	}
	return all
}

// maxListeners is more than anybody needs; every two of them are compared.
const maxListeners = 100

func firstListeners(items []value) []value { return items[:min(len(items), maxListeners)] }

// keyPair reads {cert, key}, or nil when it is left out.
func keyPair(v value) *KeyPair {
	const valid = "a mapping with cert and key, the names of PEM files"
	o := v.object(valid)
	cert, key := o.need("cert", valid), o.need("key", valid)
	pair := KeyPair{Cert: cert.file(), Key: key.file()}
	o.done()
	if pair.Cert == "" || pair.Key == "" {
		return nil
	}
	v.d.refer(fileRef{kind: fileKeyPair, value: cert, path: pair.Cert, keyValue: key, key: pair.Key})
	return &pair
}

// file reads the name of a file.
func (v value) file() string { return v.str("", "the name of a file", checkFile) }

// checkPathName accepts what can only be the name of a file or of a directory.
func checkPathName(s string) (string, string) {
	if !strings.Contains(s, "/") {
		return "", "may be anything"
	}
	return checkFile(s)
}

// checkFile accepts the name of a file or of a directory.
func checkFile(s string) (string, string) {
	if s == "~" || strings.HasPrefix(s, "~/") {
		return "", `begins with "~", which shells expand and weir does not; write the whole path`
	}
	return checkGlob(s)
}

func decodeAdmin(o *object) Admin {
	listen := o.key("listen")
	admin := Admin{Listen: listen.str(DefaultAdminListen, validAddress, checkAddress)}
	names, digests := make(map[string]int), make(map[[32]byte]int)
	tokens := o.key("tokens")
	for _, item := range tokens.list("a list of {name, sha256, scopes}") {
		t := item.object("a mapping with name, sha256 and scopes")
		name, digest := t.need("name", validName), t.need("sha256", validDigest)
		token := Token{
			Name:   name.str("", validName, checkName),
			SHA256: digest.digest(),
			Scopes: scopes(t.need("scopes", validScopes)),
		}
		t.done()
		if first, twice := names[token.Name]; twice && token.Name != "" {
			name.fault("a name of its own", "%s is the name of a token on line %d already", quote(token.Name), first)
		}
		if first, twice := digests[token.SHA256]; twice && token.SHA256 != ([32]byte{}) {
			digest.fault("a token of its own", "this is the same token as on line %d", first)
		}
		checkWeakToken(digest, token.SHA256)
		names[token.Name], digests[token.SHA256] = name.at.line, digest.at.line
		admin.Tokens = append(admin.Tokens, token)
	}
	o.done()
	if len(admin.Tokens) == 0 && !loopback(admin.Listen) {
		listen.fault("tokens, or a loopback address such as "+DefaultAdminListen,
			"%s is open to other machines and there are no tokens", quote(admin.Listen))
	}
	return admin
}

const (
	validDigest = "64 hexadecimal digits, as printf %s TOKEN | sha256sum prints them"
	validScopes = "a list of read, purge, purge:tag"
)

func (v value) digest() (sum [32]byte) {
	s, ok := v.scalar(validDigest)
	if !ok {
		return sum
	}
	// What is no digest may be the token itself: it is not repeated in a fault.
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(sum) {
		v.fault(validDigest, "this is not a SHA-256 digest")
		return sum
	}
	copy(sum[:], raw)
	return sum
}

func scopes(v value) []Scope {
	known := []string{string(ScopeRead), string(ScopePurge), string(ScopePurgeTag)}
	var all []Scope
	for _, s := range words(v.oneOrMany(validScopes), validScopes, func(s string) (string, string) {
		for _, k := range known {
			if s == k {
				return s, ""
			}
		}
		return "", "is not a scope" + v.d.didYouMean(s, known)
	}) {
		all = append(all, Scope(s))
	}
	return all
}

func decodeTiers(cfg *Config, o *object) {
	t := &cfg.Tiers
	ram := o.key("ram")
	r := ram.object("a mapping with size and max_object" + shorthand(ram, "{size: %s}", checkSize))
	size := r.key("size")
	t.RAM.Size = DefaultRAMSize
	if size.given() {
		// A size with a fault must not cause another at max_object.
		t.RAM.Size = size.size(maxTier, MinRAMSize, maxTier)
	}
	t.RAM.MaxObject = maxObject(r.key("max_object"), DefaultRAMMaxObject, t.RAM.Size, "ram")
	r.done()

	v := o.key("disk")
	k := v.object("a mapping with path, size and max_object; leave disk out for RAM only" + shorthand(v, "{path: %q, size: 10GiB}", checkPathName))
	path := k.need("path", "the name of a directory")
	diskSize := k.need("size", validSize)
	disk := Disk{
		Path: path.str("", "the name of a directory", checkFile),
		Size: diskSize.size(maxTier, MinDiskSize, maxTier),
	}
	disk.MaxObject = maxObject(k.key("max_object"), DefaultDiskMaxObject, disk.Size, "disk")
	disk.ReadTimeout = k.key("read_timeout").duration(DefaultReadTimeout, 10*time.Millisecond, time.Minute)
	disk.PurgeLog = k.key("purge_log").size(DefaultPurgeLog, MinPurgeLog, maxPurgeLog)
	disk.Required = k.key("required").boolean(false)
	k.done()
	o.done()
	if v.given() {
		t.Disk = &disk
	}
	if disk.Path != "" {
		v.d.refer(fileRef{kind: fileDirectory, value: path, path: disk.Path})
	}
	// Only the places are kept, as in refer.
	cfg.ramSize, cfg.diskSize = size.placed(), diskSize.placed()
}

func maxObject(v value, fallback, tier int64, name string) int64 {
	n := v.size(min(fallback, tier/4), 1, maxTier)
	if n > tier {
		v.fault("at most tiers."+name+".size, "+formatSize(tier), "%s is larger than the whole tier", formatSize(n))
	}
	return n
}

func decodeAccessLog(v value) AccessLog {
	const valid = "off, stderr or {file: PATH}"
	target := v
	if !isObject(v) {
		target.y = nil
	}
	o := target.object(valid)
	file := o.need("file", "the name of a file")
	log := AccessLog{To: AccessLogFile, File: file.file()}
	o.done()
	if isObject(v) {
		if log.File != "" {
			v.d.refer(fileRef{kind: fileAppend, value: file, path: log.File})
		}
		return log
	}
	word := v.str("off", valid, func(s string) (string, string) {
		if s == "off" || s == "stderr" {
			return s, ""
		}
		switch {
		case strings.Contains(s, "/") || strings.HasSuffix(s, ".log"):
			return "", "is not a choice; did you mean {file: " + cut(s) + "}?"
		case s == "stdout" || switches[strings.ToLower(s)] == "true":
			return "", `is not a choice; did you mean "stderr"?`
		}
		return "", "is not a choice" + v.d.didYouMean(s, []string{"off", "stderr"})
	})
	if word == "stderr" {
		return AccessLog{To: AccessLogStderr}
	}
	return AccessLog{To: AccessLogOff}
}

var levelNames = []string{"debug", "info", "warn", "error"}

func decodeLog(o *object) Log {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	log := Log{
		Level:  levels[o.key("level").choice(1, levelNames...)],
		Format: LogFormat(o.key("format").choice(int(LogText), LogText.String(), LogJSON.String())),
	}
	o.done()
	return log
}

func decodeLimits(ram int64, o *object) Limits {
	connections, perIP, waiters := o.key("connections"), o.key("connections_per_ip"), o.key("waiters")
	n := connections.integer(10_000, 1, 1_000_000)
	l := Limits{
		Connections:      n,
		ConnectionsPerIP: perIP.integer(0, 0, 1_000_000),
		Waiters:          waiters.integer((n+1)/2, 1, 1_000_000),
		HeaderSize:       o.key("header_size").size(16*KiB, KiB, MiB),
		BodySize:         bodySize(o.key("body_size")),
		MemoryInFlight:   o.key("memory_in_flight").size(max(ram/4, DefaultInFlight), MinInFlight, maxTier),
		Spool:            decodeSpool(o.key("spool")),
	}
	o.done()
	if l.ConnectionsPerIP > l.Connections {
		perIP.fault("0 for no limit, or at most limits.connections", "%d is more than the %d connections there may be in all",
			l.ConnectionsPerIP, l.Connections)
	}
	if l.Waiters > l.Connections {
		waiters.fault("at most limits.connections", "%d is more than the %d connections there may be in all", l.Waiters, l.Connections)
	}
	return l
}

// decodeSpool reads where bodies go that do not fit into memory, or the word none.
func decodeSpool(v value) Spool {
	if v.given() && !isObject(v) && !v.isNull() && v.y.Value == "none" {
		v.y = nil
		o := v.object("")
		o.key("path")
		o.key("size")
		return Spool{}
	}
	o := v.object("none, or a mapping with path and size" + shorthand(v, "{path: %q}", checkPathName))
	path := o.key("path")
	s := Spool{Path: path.str("", "the name of a directory", checkFile), Size: o.key("size").size(DefaultSpool, MinSpool, maxTier)}
	o.done()
	if path.given() && s.Path != "" {
		v.d.refer(fileRef{kind: fileDirectory, value: path, path: s.Path})
	}
	return s
}

// bodySize reads a size or the word none, which is 0.
func bodySize(v value) int64 {
	if v.given() && !v.isNull() && v.y.Value == "none" {
		return 0
	}
	return v.sizeOr("none, or ", 0, 1, maxTier)
}

func decodeTimeouts(o *object) Timeouts {
	t := Timeouts{
		Header:    o.key("header").duration(10*time.Second, shortest, longest),
		Idle:      o.key("idle").duration(75*time.Second, shortest, longest),
		Progress:  o.key("progress").duration(time.Minute, shortest, longest),
		StaleWait: o.key("stale_wait").duration(time.Second, shortest, longest),
		LameDuck:  o.key("lame_duck").duration(5*time.Second, 0, longest),
		Drain:     o.key("drain").duration(30*time.Second, 0, longest),
	}
	o.done()
	return t
}
