package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"weir/loadtest/workload"
)

// Options of Run. Exactly one of Mix, Path and Entries says what is asked for.
type Options struct {
	Target      string   // http://host:port or https://host:port
	AllowRemote bool     // the target, the origin and the purge API need not be loopback
	Host        string   // of the Host field; default: the target's host and port
	Fields      []string // further request fields, "Name: value" each

	Mix     *workload.Mix // a catalogue, with its popularity
	Path    string        // one target
	Size    int64         // of the body of Path, bytes; 0: what Path says, or any
	Entries []Entry       // a log; sent once, in order

	Schedule workload.Schedule // when requests are due: an open loop. nil: a closed loop, each connection sends when its answer is whole
	Duration time.Duration     // of a closed loop, and of the whole if the schedule is longer; 0: no limit
	Requests int64             // at most so many; 0: no limit
	Warmup   time.Duration     // at the start; what is due in it is sent and not measured
	Prefill  bool              // ask for every object of Mix's catalogue once before the start

	Connections   int           // default 64, 1 to 20000
	Loops         int           // threads that send, each with its share of the connections; default: one a core, at most one a connection
	PerConnection int           // requests on a connection before it is closed; 0: no limit
	Timeout       time.Duration // without any progress of an answer, and for the last answers to come whole; default 10 s
	GiveUp        int           // so many broken answers in a row end the run; default: twice the connections, at least 20
	NoVerify      bool          // look at status and framing only
	TLS           *tls.Config   // for https; default: the system's roots

	Purges PurgeOptions
	Origin string // http://host:port of the scripted origin, which makes new versions and knows what it was asked

	Dial          func(network, address string) (net.Conn, error) // in place of the network; chooses the blocking engine
	Blocking      bool                                            // choose the blocking engine, as https does
	Progress      func(Progress)                                  // called every ProgressEvery, from a goroutine of its own
	ProgressEvery time.Duration                                   // default 1 s
}

// Entry is a request of a log.
type Entry struct {
	At       time.Duration // from the first
	Method   string
	Target   string
	Name     string // of the self-checking body; empty: Target
	Status   int    // that has to come; 0: any that suits the request
	Size     int64  // of the body; -1: not known
	RangeEnd int64  // bytes=0-RangeEnd is asked for; -1: no range
}

// Progress is how far a run is.
type Progress struct {
	Elapsed time.Duration
	Answers int64 // measured so far
	Faulty  int64
	Bytes   int64
	Purges  int64
	Warming bool // nothing is measured yet
}

// WithDefaults returns the options with what they leave out filled in.
func (o Options) WithDefaults() Options {
	if o.Connections == 0 {
		o.Connections = 64
	}
	if o.Loops == 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	o.Loops = min(o.Loops, o.Connections)
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.GiveUp == 0 {
		o.GiveUp = max(20, 2*o.Connections)
	}
	if o.ProgressEvery == 0 {
		o.ProgressEvery = time.Second
	}
	return o
}

// MinRate and MaxRate bound the rate of an open loop, in requests a second. Below one in a quarter of an hour there is no load to
// speak of.
const (
	MinRate = 0.001
	MaxRate = 10_000_000
)

// maxConnections is what a process may usually open, less a reserve.
const maxConnections = 20_000

// Check returns every fault of the options, each with what would be possible; nil when there is none.
func (o *Options) Check() error {
	var f faults
	u, err := url.Parse(o.Target)
	f.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil,
		"target %q: it must be http://host:port or https://host:port", o.Target)
	f.check(o.Connections >= 1 && o.Connections <= maxConnections, "connections %d: 1 to %d are possible", o.Connections, maxConnections)
	f.check(o.Loops >= 1 && o.Loops <= 256, "threads %d: 1 to 256 are possible", o.Loops)
	f.check(o.PerConnection >= 0, "requests a connection %d: 1 and more are possible, 0 for no limit", o.PerConnection)
	f.check(o.Timeout >= time.Millisecond, "timeout %v: 1ms and more are possible", o.Timeout)
	f.check(o.GiveUp >= 1, "give up after %d: 1 and more are possible", o.GiveUp)
	f.check(o.Duration >= 0, "duration %v: it must be above 0", o.Duration)
	f.check(o.Requests >= 0, "requests %d: it must be above 0", o.Requests)
	f.check(o.Schedule != nil || o.Entries != nil || o.Duration > 0 || o.Requests > 0, "no end: a closed loop needs a duration or a number of requests")
	f.check(o.Warmup >= 0 && (o.Duration == 0 || o.Warmup < o.Duration), "warm-up %v: it must be shorter than the duration, %v", o.Warmup, o.Duration)
	o.checkSchedule(&f)
	for _, field := range o.Fields {
		f.check(goodField(field), "header %q: it must be \"Name: value\", and not Host, Range, If-None-Match, Connection or Content-Length", field)
	}
	f.check(!strings.ContainsFunc(o.Host, func(r rune) bool { return r <= ' ' || r == 0x7f }), "host %q: it must not hold spaces", o.Host)
	o.checkContent(&f)
	o.checkPurges(&f)
	o.checkEvents(&f)
	return f.err()
}

func (o *Options) checkSchedule(f *faults) {
	switch s := o.Schedule.(type) {
	case workload.Constant:
		f.check(s.PerSecond >= MinRate && s.PerSecond <= MaxRate, "rate %v: %v to %d requests a second are possible", s.PerSecond, MinRate, MaxRate)
		f.check(s.For > 0, "duration %v: it must be above 0", s.For)
		f.check(s.For < workload.Forever || o.Duration > 0 || o.Requests > 0, "no end: an open loop needs a duration or a number of requests")
	case workload.Ramp:
		f.check(s.From >= 0 && s.From <= MaxRate && s.To >= MinRate && s.To <= MaxRate, "rate %v to %v: 0 to %d, then %v to %d are possible", s.From, s.To, MaxRate, MinRate, MaxRate)
		f.check(s.Over > 0 && s.Over <= s.For, "ramp %v: above 0 up to the duration, %v, is possible", s.Over, s.For)
	}
}

// checkEvents refuses what would begin when the run is over.
func (o *Options) checkEvents(f *faults) {
	length := o.Length()
	if length <= 0 {
		return
	}
	if o.Mix != nil {
		for _, e := range o.Mix.Flashes {
			f.check(e.At < length, "flash crowd at %v: the run is over after %v; an earlier one is possible", e.At, length)
		}
	}
	for _, s := range o.Purges.Storms {
		f.check(s.At < length, "purge storm at %v: the run is over after %v; an earlier one is possible", s.At, length)
	}
}

func (o *Options) checkContent(f *faults) {
	sources := 0
	for _, given := range []bool{o.Mix != nil, o.Path != "", o.Entries != nil} {
		if given {
			sources++
		}
	}
	f.check(sources == 1, "%d of a catalogue, a path and a log are given: exactly one is possible", sources)
	f.check(!o.Prefill || o.Mix != nil, "prefill: only with a catalogue")
	if o.Path != "" {
		f.check(o.Path[0] == '/' && !strings.ContainsFunc(o.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f }),
			"path %q: it must begin with / and hold no spaces", o.Path)
		size := o.pathSize()
		f.check(o.NoVerify || size == -1 || size >= workload.MinVerified, "size %d B: with verification %d B and more are possible; or switch verification off",
			size, workload.MinVerified)
	}
	if o.Mix == nil {
		return
	}
	c := &o.Mix.Catalogue
	f.check(c.Objects >= 1 && c.Objects <= 1_000_000_000, "objects %d: 1 to 1000000000 are possible", c.Objects)
	f.check(o.Mix.Exponent >= 0 && o.Mix.Exponent <= 10, "zipf exponent %v: 0 to 10 are possible", o.Mix.Exponent)
	low := int64(1)
	if !o.NoVerify {
		low = workload.MinVerified
	}
	f.check(c.Sizes.Smallest() >= low && c.Sizes.Max <= 1<<40 && c.Sizes.Median <= 1<<40, "sizes %v: %d B to 1 TiB are possible%s", c.Sizes, low,
		map[bool]string{true: "; smaller ones without verification", false: ""}[!o.NoVerify])
	f.share("share of uncacheable objects", c.Uncacheable)
	f.share("share of ranges", o.Mix.Ranges)
	f.share("share of conditional requests", o.Mix.Conditional)
	f.check(o.Mix.Ranges+o.Mix.Conditional <= 1, "shares of ranges and conditional requests: %v together, at most 1 is possible", o.Mix.Ranges+o.Mix.Conditional)
	f.check(c.MaxAge >= 0 && c.MaxAge%time.Second == 0, "lifetime %v: whole seconds are possible, 0 for what the origin says", c.MaxAge)
	f.check(c.Tags >= 0 && c.Tags <= 10_000_000, "tags %d: 0 to 10000000 are possible", c.Tags)
	f.check(strings.HasPrefix(c.Prefix, "/") && !strings.ContainsAny(c.Prefix, " ;?#\r\n"), "prefix %q: it must begin with / and hold no space, ;, ? or #", c.Prefix)
}

func goodField(s string) bool {
	name, value, ok := strings.Cut(s, ":")
	if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/;<=>?@[\]{}`, r) }) {
		return false
	}
	switch strings.ToLower(name) {
	case "host", "range", "if-none-match", "connection", "content-length", "transfer-encoding":
		return false
	}
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// faults gathers what is wrong with settings.
type faults struct{ list []error }

func (f *faults) check(ok bool, format string, args ...any) {
	if !ok {
		f.list = append(f.list, fmt.Errorf(format, args...))
	}
}

func (f *faults) share(what string, v float64) {
	f.check(v >= 0 && v <= 1 && !math.IsNaN(v), "%s %v: 0 to 1 is possible", what, v)
}

func (f *faults) err() error { return errors.Join(f.list...) }

// pathSize is the size that the body of Path has to have; -1: not known.
func (o *Options) pathSize() int64 {
	if o.Size != 0 {
		return o.Size
	}
	return SizeOf(o.Path)
}

// SizeOf reads the size that a target asks the scripted origin for, by a parameter of its path (";size=1024") or of its query
// ("?size=1024"), or returns -1. As there, the last one decides.
func SizeOf(target string) int64 {
	path, query, _ := strings.Cut(target, "?")
	_, params, _ := strings.Cut(path, ";")
	size := int64(-1)
	take := func(params, sep string) {
		for part := range strings.SplitSeq(params, sep) {
			text, ok := strings.CutPrefix(part, "size=")
			if n, err := strconv.ParseInt(text, 10, 64); ok && err == nil && n >= 0 && n <= 1<<40 {
				size = n
			}
		}
	}
	take(params, ";")
	take(query, "&")
	return size
}
