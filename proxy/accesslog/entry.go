package accesslog

import (
	"net/netip"
	"strconv"
	"time"
)

// timeLayout is RFC 3339 with milliseconds; times are written in UTC.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// Entry is what one line says. The byte slices stay the caller's: Log has
// copied them when it returns. Fields marked optional are left out of the line
// when empty.
type Entry struct {
	Time      time.Time  // when the request arrived
	RequestID []byte     // optional
	Client    netip.Addr // who asked, as the trusted proxies say; "" when invalid
	Method    []byte
	Scheme    string
	Host      []byte
	Target    []byte // path and query as they came

	Status   int
	Bytes    int64 // body bytes sent
	Duration time.Duration
	TTFB     time.Duration

	Result    string        // the verdict
	Tier      string        // the tier that delivered the body
	Reason    string        // optional: why it was not stored, or not answered
	Policy    string        // optional: the policy that matched
	Collapsed bool          // waited for another request's fetch
	HasTTL    bool          // TTL is known
	TTL       time.Duration // optional: what was left of the freshness; negative when stale
	HasKey    bool          // Key is to be written
	Key       [16]byte      // optional: the hash of the cache key

	Origin         string        // optional: the pool that was asked
	OriginStatus   int           // optional: 0 when there was no answer
	OriginDuration time.Duration // written when Origin is

	UserAgent []byte // optional
	Referer   []byte // optional
}

// Append appends e as one JSON object and a line feed. Durations are in whole
// microseconds, the TTL in whole seconds rounded down.
func (e *Entry) Append(dst []byte) []byte {
	dst = append(dst, `{"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, timeLayout)
	dst = append(dst, '"')
	dst = appendOptional(dst, `,"request_id":`, e.RequestID)
	dst = append(dst, `,"client":"`...)
	if e.Client.IsValid() {
		// A zone is the only part of an address with free text, and means nothing elsewhere.
		dst = e.Client.WithZone("").AppendTo(dst)
	}
	dst = append(dst, `","method":`...)
	dst = appendString(dst, e.Method)
	dst = append(dst, `,"scheme":`...)
	dst = appendString(dst, e.Scheme)
	dst = append(dst, `,"host":`...)
	dst = appendString(dst, e.Host)
	dst = append(dst, `,"target":`...)
	dst = appendString(dst, e.Target)
	dst = appendInt(dst, `,"status":`, int64(e.Status))
	dst = appendInt(dst, `,"bytes":`, e.Bytes)
	dst = appendInt(dst, `,"duration_us":`, e.Duration.Microseconds())
	dst = appendInt(dst, `,"ttfb_us":`, e.TTFB.Microseconds())
	dst = e.appendCache(dst)
	dst = e.appendOrigin(dst)
	dst = appendOptional(dst, `,"user_agent":`, e.UserAgent)
	dst = appendOptional(dst, `,"referer":`, e.Referer)
	return append(dst, "}\n"...)
}

func (e *Entry) appendCache(dst []byte) []byte {
	dst = append(dst, `,"result":`...)
	dst = appendString(dst, e.Result)
	dst = append(dst, `,"tier":`...)
	dst = appendString(dst, e.Tier)
	dst = appendOptional(dst, `,"reason":`, e.Reason)
	dst = appendOptional(dst, `,"policy":`, e.Policy)
	dst = append(dst, `,"collapsed":`...)
	dst = strconv.AppendBool(dst, e.Collapsed)
	if e.HasTTL {
		dst = appendInt(dst, `,"ttl":`, floorSeconds(e.TTL))
	}
	if e.HasKey {
		dst = append(dst, `,"key":"`...)
		for _, c := range e.Key {
			dst = append(dst, hexDigits[c>>4], hexDigits[c&0xf])
		}
		dst = append(dst, '"')
	}
	return dst
}

func (e *Entry) appendOrigin(dst []byte) []byte {
	if e.Origin == "" {
		return dst
	}
	dst = appendOptional(dst, `,"origin":`, e.Origin)
	if e.OriginStatus != 0 {
		dst = appendInt(dst, `,"origin_status":`, int64(e.OriginStatus))
	}
	return appendInt(dst, `,"origin_us":`, e.OriginDuration.Microseconds())
}

// floorSeconds rounds down also below zero: half a second past is stale.
func floorSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second < 0 {
		s--
	}
	return s
}

func appendOptional[T []byte | string](dst []byte, name string, s T) []byte {
	if len(s) == 0 {
		return dst
	}
	return appendString(append(dst, name...), s)
}

func appendInt(dst []byte, name string, v int64) []byte {
	return strconv.AppendInt(append(dst, name...), v, 10)
}
