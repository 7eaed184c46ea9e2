package configs

import (
	"strings"
	"time"
)

// Defaults of an origin.
const (
	DefaultOriginTimeout    = 30 * time.Second
	DefaultConnectTimeout   = 3 * time.Second
	DefaultQueueWait        = 10 * time.Second
	DefaultQueueSize        = 10_000
	DefaultMaxConnections   = 1024
	DefaultMaxConnectionAge = 10 * time.Minute
	DefaultResolve          = 30 * time.Second
	DefaultMaxHeaderSize    = 64 * KiB
	DefaultRetries          = 1
	DefaultRetryBudget      = 0.1
	maxConnectionsPerServer = 100_000
	maxQueue                = 1_000_000
)

// decodeOrigins reads the mapping of names to origins, and returns with each where its
// fallback stands.
func decodeOrigins(v value) ([]Origin, []value) {
	const valid = "a mapping of names to origins"
	o := v.object(valid)
	members := o.free("<name>")
	if isObject(v) && len(members) == 0 {
		v.fault(valid, "this is empty")
	}
	if !v.given() {
		// Asks for the keys of an origin, so that the schema knows them.
		decodeOrigin("", value{d: v.d, shape: "origins.<name>"})
	}
	origins, fallbacks := make([]Origin, 0, len(members)), make([]value, 0, len(members))
	for _, m := range members {
		if _, problem := checkName(m.name); problem != "" || m.name == "" {
			m.key.fault(validName, "%s is not a name for an origin", quote(m.name))
		}
		o, fallback := decodeOrigin(m.name, m.value)
		origins, fallbacks = append(origins, o), append(fallbacks, fallback)
	}
	return origins, fallbacks
}

func decodeOrigin(name string, v value) (Origin, value) {
	o := v.object("a mapping with servers" + shorthand(v, "{servers: [%q]}", checkServer))
	servers := o.need("servers", "a list of "+validServer)
	origin := Origin{Name: name, Servers: decodeServers(servers)}
	origin.Balance = Balance(o.key("balance").choice(int(BalanceLeastRequests), BalanceLeastRequests.String(), BalanceRoundRobin.String()))
	origin.Resolve = o.key("resolve").duration(DefaultResolve, 0, longest)

	whole := o.key("timeout").duration(DefaultOriginTimeout, shortest, longest)
	origin.ConnectTimeout = o.key("connect_timeout").duration(min(DefaultConnectTimeout, whole), shortest, longest)
	origin.FirstByteTimeout = o.key("first_byte_timeout").duration(whole, shortest, longest)
	origin.BetweenBytesTimeout = o.key("between_bytes_timeout").duration(whole, shortest, longest)
	origin.MaxConnections = o.key("max_connections").integer(DefaultMaxConnections, 1, maxConnectionsPerServer)
	origin.MaxConnectionAge = o.key("max_connection_age").duration(DefaultMaxConnectionAge, shortest, longest)
	origin.KeepAlive = o.key("keepalive").boolean(true)
	origin.Queue = decodeQueue(o.key("queue").object("a mapping with size and wait"), whole)
	origin.MaxHeaderSize = o.key("max_header_size").size(DefaultMaxHeaderSize, KiB, MiB)
	origin.Host = o.key("host").str("", "a host name, or host:port", checkAuthority)
	tls, http2 := o.key("tls"), o.key("http2")
	origin.TLS = decodeOriginTLS(tls)
	origin.HTTP2 = http2.boolean(false)
	origin.TrustClose = o.key("trust_close").boolean(false)
	origin.Retries = o.key("retries").integer(DefaultRetries, 0, 10)
	origin.RetryBudget = o.key("retry_budget").percentage(DefaultRetryBudget, 0, 1)
	origin.Hedge = decodeHedge(o.key("hedge"))
	origin.Eject = decodeEject(o.key("eject"))
	origin.Health = decodeHealth(o.key("health"))
	fallback := o.key("fallback")
	origin.Fallback = fallback.str("", validFallback, checkGlob)
	o.done()

	if len(origin.Servers) > 0 && !anyHTTPS(origin.Servers) {
		const valid = "an https:// server, or leave the key out"
		if tls.given() {
			tls.fault(valid, "concerns https servers, and all servers here are http")
		}
		if origin.HTTP2 {
			http2.fault(valid, "concerns https servers, and all servers here are http")
		}
	}
	return origin, fallback
}

func anyHTTPS(servers []Server) bool {
	for _, s := range servers {
		if strings.HasPrefix(s.URL, "https:") {
			return true
		}
	}
	return false
}

func decodeOriginTLS(v value) OriginTLS {
	o := v.object("a mapping with ca, server_name, insecure_skip_verify, cert and key")
	ca := o.key("ca")
	insecure := o.key("insecure_skip_verify")
	t := OriginTLS{
		CA:                 ca.file(),
		ServerName:         o.key("server_name").str("", "a host name", checkDNSName),
		InsecureSkipVerify: insecure.boolean(false),
	}
	cert, key := o.key("cert"), o.key("key")
	pair := KeyPair{Cert: cert.file(), Key: key.file()}
	o.done()

	if t.CA != "" {
		v.d.refer(fileRef{kind: fileCA, value: ca, path: t.CA})
	}
	if t.InsecureSkipVerify {
		insecure.warn("the origin's certificate is not checked: anybody on the way can answer in its name")
		if ca.given() {
			ca.fault("one of the two", "ca says nothing beside insecure_skip_verify: true")
		}
	}
	switch {
	case pair.Cert != "" && pair.Key != "":
		t.Client = &pair
		v.d.refer(fileRef{kind: fileKeyPair, value: cert, path: pair.Cert, keyValue: key, key: pair.Key})
	case cert.given() && !key.given():
		cert.fault("both or neither", "there is no key beside it")
	case key.given() && !cert.given():
		key.fault("both or neither", "there is no cert beside it")
	}
	return t
}
