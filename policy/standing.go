package policy

import "strings"

// Standing says what becomes of a request's field on its way to the origin. An
// origin takes its host, scheme, path, method or client from more than the
// request line and Host. What it takes them from is in the key, is made from
// the key, or does not reach it.
type Standing uint8

const (
	// StandingOrdinary goes on, every line as it came. The origin may answer by
	// it, and then has to name it in Vary (RFC 9110 section 12.5.5).
	StandingOrdinary Standing = iota
	// StandingHop concerns one connection, or the framing of one message.
	StandingHop
	// StandingMade is made by weir, whatever arrives.
	StandingMade
	// StandingClient names the client, and goes on from trusted senders only.
	StandingClient
	// StandingIdentity names the scheme, host, port or prefix of the request,
	// and goes on from trusted senders where the key holds it.
	StandingIdentity
	// StandingOverride names another path, host or method than the request has.
	// It goes on from trusted senders only; where the key does not hold it, the
	// answer is not stored.
	StandingOverride
	// StandingMethod is an override of the method, which goes on from anybody
	// where the key holds it.
	StandingMethod
	// StandingNever goes on from nobody.
	StandingNever
)

// String is the standing's name in the handbook.
func (s Standing) String() string {
	switch s {
	case StandingOrdinary:
		return "ordinary"
	case StandingHop:
		return "hop"
	case StandingMade:
		return "made"
	case StandingClient:
		return "client"
	case StandingIdentity:
		return "identity"
	case StandingOverride:
		return "override"
	case StandingMethod:
		return "method override"
	case StandingNever:
		return "never"
	}
	return "unknown"
}

// StandingOf returns what becomes of the field of that canonical name.
func StandingOf(name string) Standing { return kindOf(name).standing }

// KnownField is a field that does not go on as it came.
type KnownField struct {
	// Name is in canonical form.
	Name     string
	Standing Standing
	// Why is a phrase for the handbook.
	Why string
}

// KnownFields is the closed list of request fields that do not go on as they
// came. Beside it, every X-Forwarded-* that it does not name is
// StandingIdentity.
var KnownFields = []KnownField{
	{"Connection", StandingHop, "RFC 9110 section 7.6.1"},
	{"Content-Length", StandingHop, "the framing, which weir writes anew"},
	{"Expect", StandingHop, "answered by weir"},
	{"Http2-Settings", StandingHop, "for an upgrade of the connection"},
	{"Keep-Alive", StandingHop, "RFC 9110 section 7.6.1"},
	{"Proxy-Authenticate", StandingHop, "for a proxy"},
	{"Proxy-Authentication-Info", StandingHop, "for a proxy"},
	{"Proxy-Authorization", StandingHop, "for a proxy"},
	{"Proxy-Connection", StandingHop, "RFC 9110 section 7.6.1"},
	{"Te", StandingHop, "RFC 9110 section 10.1.4"},
	{"Trailer", StandingHop, "trailers do not go on"},
	{"Transfer-Encoding", StandingHop, "the framing, which weir writes anew"},
	{"Upgrade", StandingHop, "RFC 9110 section 7.8"},

	{"Forwarded", StandingMade, "the chain of clients, and host and scheme from the key (RFC 7239)"},
	{"Via", StandingMade, "the way of the request (RFC 9110 section 7.6.3)"},
	{"X-Forwarded-For", StandingMade, "the chain of clients"},
	{"X-Forwarded-Host", StandingMade, "the host of the key; a trusted sender's where `key.headers` names it"},
	{"X-Forwarded-Proto", StandingMade, "the scheme of the key"},

	{"Cf-Connecting-Ip", StandingClient, "Cloudflare"},
	{"Cf-Connecting-Ipv6", StandingClient, "Cloudflare"},
	{"Cf-Pseudo-Ipv4", StandingClient, "Cloudflare"},
	{"Client-Ip", StandingClient, "read by PHP applications as HTTP_CLIENT_IP"},
	{"Cloudfront-Viewer-Address", StandingClient, "CloudFront"},
	{"Do-Connecting-Ip", StandingClient, "DigitalOcean"},
	{"Fastly-Client-Ip", StandingClient, "Fastly"},
	{"Fly-Client-Ip", StandingClient, "Fly"},
	{"Proxy-Client-Ip", StandingClient, "WebLogic and Java applications"},
	{"Remote-Addr", StandingClient, "taken for the CGI variable"},
	{"True-Client-Ip", StandingClient, "Akamai, Cloudflare"},
	{"Wl-Proxy-Client-Ip", StandingClient, "WebLogic and Java applications"},
	{"X-Appengine-User-Ip", StandingClient, "App Engine"},
	{"X-Azure-Clientip", StandingClient, "Azure"},
	{"X-Azure-Socketip", StandingClient, "Azure"},
	{"X-Client-Ip", StandingClient, "Apache's mod_remoteip and many frameworks"},
	{"X-Cluster-Client-Ip", StandingClient, "Rackspace, Riverbed"},
	{"X-Envoy-External-Address", StandingClient, "Envoy"},
	{"X-Forward-For", StandingClient, "some frameworks"},
	{"X-Nf-Client-Connection-Ip", StandingClient, "Netlify"},
	{"X-Original-Forwarded-For", StandingClient, "ingress controllers"},
	{"X-Originating-Ip", StandingClient, "many frameworks"},
	{"X-Proxyuser-Ip", StandingClient, "Google"},
	{"X-Real-Ip", StandingClient, "nginx, Rack, Go"},
	{"X-Remote-Addr", StandingClient, "many frameworks"},
	{"X-Remote-Ip", StandingClient, "many frameworks"},
	{"X-Vercel-Forwarded-For", StandingClient, "Vercel"},

	{"Cf-Visitor", StandingIdentity, "the scheme, read by WordPress plugins"},
	{"Cloudfront-Forwarded-Proto", StandingIdentity, "the scheme"},
	{"Forwarded-Host", StandingIdentity, "the host"},
	{"Forwarded-Proto", StandingIdentity, "the scheme"},
	{"Front-End-Https", StandingIdentity, "the scheme, Microsoft's"},
	{"Https", StandingIdentity, "the scheme, read by PHP applications as HTTP_HTTPS"},
	{"Script-Name", StandingIdentity, "the prefix, read by gunicorn and Python applications"},
	{"Ssl-Offloaded", StandingIdentity, "the scheme, Magento's"},
	{"Wl-Proxy-Ssl", StandingIdentity, "the scheme, WebLogic"},
	{"X-Appengine-Https", StandingIdentity, "the scheme"},
	{"X-Arr-Ssl", StandingIdentity, "the scheme, IIS"},
	{"X-Forward-Host", StandingIdentity, "the host, some frameworks"},
	{"X-Forward-Proto", StandingIdentity, "the scheme, some frameworks"},
	{"X-Forwarded", StandingIdentity, "the forerunner of Forwarded"},
	{"X-Forwarded-Server", StandingIdentity, "the host, read by some frameworks"},
	{"X-Https", StandingIdentity, "the scheme"},
	{"X-Original-Forwarded-Host", StandingIdentity, "the host, ingress controllers"},
	{"X-Original-Proto", StandingIdentity, "the scheme, ASP.NET"},
	{"X-Original-Scheme", StandingIdentity, "the scheme"},
	{"X-Proto", StandingIdentity, "the scheme"},
	{"X-Scheme", StandingIdentity, "the scheme, gunicorn and ingress controllers"},
	{"X-Script-Name", StandingIdentity, "the prefix, Python applications"},
	{"X-Ssl", StandingIdentity, "the scheme"},
	{"X-Url-Scheme", StandingIdentity, "the scheme"},

	{"Base-Url", StandingOverride, "the host and path, for some frameworks"},
	{"Destination-Url", StandingOverride, "the path"},
	{"Http-Host", StandingOverride, "the host, taken for the CGI variable"},
	{"Http-Url", StandingOverride, "the path"},
	{"Proxy-Host", StandingOverride, "the host"},
	{"Proxy-Url", StandingOverride, "the host and path"},
	{"Request-Uri", StandingOverride, "the path, taken for the CGI variable"},
	{"X-Backend-Host", StandingOverride, "the host"},
	{"X-Envoy-Original-Host", StandingOverride, "the host, Envoy"},
	{"X-Envoy-Original-Path", StandingOverride, "the path, Envoy"},
	{"X-Host", StandingOverride, "the host"},
	{"X-Host-Override", StandingOverride, "the host"},
	{"X-Http-Destinationurl", StandingOverride, "the path"},
	{"X-Http-Host", StandingOverride, "the host"},
	{"X-Http-Host-Override", StandingOverride, "the host"},
	{"X-Http-Path-Override", StandingOverride, "the path"},
	{"X-Invoke-Error", StandingOverride, "the page, within Next.js"},
	{"X-Invoke-Output", StandingOverride, "the page, within Next.js"},
	{"X-Invoke-Path", StandingOverride, "the path, within Next.js"},
	{"X-Invoke-Query", StandingOverride, "the query, within Next.js"},
	{"X-Invoke-Status", StandingOverride, "the status, within Next.js"},
	{"X-Matched-Path", StandingOverride, "the path, Next.js"},
	{"X-Middleware-Invoke", StandingOverride, "the way of a request within Next.js"},
	{"X-Middleware-Subrequest", StandingOverride, "the way of a request within Next.js"},
	{"X-Now-Route-Matches", StandingOverride, "the path, Next.js"},
	{"X-Original-Host", StandingOverride, "the host"},
	{"X-Original-Path", StandingOverride, "the path"},
	{"X-Original-Request-Uri", StandingOverride, "the path"},
	{"X-Original-Uri", StandingOverride, "the path, ingress controllers"},
	{"X-Original-Url", StandingOverride, "the path, Symfony, IIS and ingress controllers"},
	{"X-Override-Url", StandingOverride, "the path"},
	{"X-Proxy-Url", StandingOverride, "the host and path"},
	{"X-Replaced-Path", StandingOverride, "the path, Traefik"},
	{"X-Request-Uri", StandingOverride, "the path"},
	{"X-Rewrite-Uri", StandingOverride, "the path"},
	{"X-Rewrite-Url", StandingOverride, "the path, Symfony and IIS"},

	{"X-Http-Method", StandingMethod, "the method, Microsoft's APIs"},
	{"X-Http-Method-Override", StandingMethod, "the method, Rack, Symfony, Express and others"},
	{"X-Method-Override", StandingMethod, "the method"},
	{"X-Original-Method", StandingMethod, "the method, ingress controllers"},

	{"Proxy", StandingNever, "becomes HTTP_PROXY in CGI (httpoxy)"},
}

// singleFields are the fields that a request has at most once (RFC 9110, and the
// Fetch standard for what browsers send). Two
// lines are refused unless they are equal: software differs in which it takes.
var singleFields = []string{
	"Access-Control-Request-Method", "Authorization", "Content-Disposition", "Content-Location", "Content-Range",
	"Content-Type", "Date", "Dnt", "From", "If-Modified-Since", "If-Range", "If-Unmodified-Since", "Last-Modified",
	"Location", "Max-Forwards", "Origin", "Range", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site",
	"Sec-Fetch-User", "Upgrade-Insecure-Requests", "User-Agent",
}

// The fields that steer caching: indices into what Request.steering returns.
const (
	steerCacheControl = iota
	steerPragma
	steerAuthorization
	steerRange
	steerIfRange
	steerIfMatch
	steerIfNoneMatch
	steerIfModifiedSince
	steerIfUnmodifiedSince
	steers
)

var steeringNames = [steers]string{
	"Cache-Control", "Pragma", "Authorization", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
	"If-Unmodified-Since",
}

// special are fields that the scan of a header section does something with.
type special uint8

const (
	specialNone special = iota
	specialHost
	specialConnection
	specialContentLength
	specialTransferEncoding
)

// fieldKind is all that the scan of a header section needs to know of a name.
// The zero value is an ordinary field that may be repeated.
type fieldKind struct {
	name     string
	standing Standing
	special  special
	single   uint8 // 1 and up: the bit of a field that may come once
	steer    uint8 // 1 and up: the place in Request.steering
}

// kindTable is a table of names with open addressing, about an eighth full.
var kindTable = newKindTable()

const kindTableSize = 1024

func kindSlot(name string) uint32 {
	n := len(name)
	return (uint32(n)*37 + uint32(name[0]) + uint32(name[n-1])*11 + uint32(name[n/2])*101) % kindTableSize
}

func newKindTable() *[kindTableSize]fieldKind {
	var t [kindTableSize]fieldKind
	entry := func(name string) *fieldKind {
		for i := kindSlot(name); ; i = (i + 1) % kindTableSize {
			if t[i].name == "" || t[i].name == name {
				t[i].name = name
				return &t[i]
			}
		}
	}
	for _, f := range KnownFields {
		entry(f.Name).standing = f.Standing
	}
	for i, name := range singleFields {
		entry(name).single = uint8(i + 1)
	}
	for i, name := range steeringNames {
		entry(name).steer = uint8(i + 1)
	}
	entry("Host").special = specialHost
	entry("Connection").special = specialConnection
	entry("Content-Length").special = specialContentLength
	entry("Transfer-Encoding").special = specialTransferEncoding
	return &t
}

const forwardedPrefix = "X-Forwarded-"

var ordinaryKind, forwardedKind = fieldKind{}, fieldKind{standing: StandingIdentity}

// kindOf returns what is known of a canonical name, which is not empty.
func kindOf(name string) *fieldKind {
	for i := kindSlot(name); kindTable[i].name != ""; i = (i + 1) % kindTableSize {
		if kindTable[i].name == name {
			return &kindTable[i]
		}
	}
	if strings.HasPrefix(name, forwardedPrefix) {
		return &forwardedKind
	}
	return &ordinaryKind
}
