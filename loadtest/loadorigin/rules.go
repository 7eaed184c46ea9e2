package loadorigin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"weir/loadtest/workload"
)

// Rule says how the URLs that match are answered. What it leaves out, a later rule that matches too says, and at last the
// defaults: 10 KiB, an hour, no delay. Tags and headers are added to those of other rules.
type Rule struct {
	Match        string            `yaml:"match"`         // a path, in which * stands for any text; "*" for all
	Size         string            `yaml:"size"`          // "10KiB" or "lognormal:10KiB,1.2,64B,4MiB"
	Delay        string            `yaml:"delay"`         // "20ms" or "lognormal:20ms,0.5,2s": median, sigma, largest
	Stall        *Stall            `yaml:"stall"`         //
	Errors       *Errors           `yaml:"errors"`        //
	CacheControl *string           `yaml:"cache_control"` // the whole field; "" for none
	Tags         []string          `yaml:"tags"`          // {1}, {2} ... stand for what the stars of match stood for
	TagField     string            `yaml:"tag_field"`     // default Surrogate-Key
	Headers      map[string]string `yaml:"headers"`       // further fields
	Chunked      *bool             `yaml:"chunked"`       // chunked coding, without a length
	Validators   *bool             `yaml:"validators"`    // ETag and Last-Modified; default true
}

// Stall is a time in which nothing is answered.
type Stall struct {
	Share float64       `yaml:"share"` // of the requests that stall, 0 to 1
	Every time.Duration `yaml:"every"` // or all of them, once in this time
	For   time.Duration `yaml:"for"`   // how long
}

// Errors are answers that go wrong.
type Errors struct {
	Share float64 `yaml:"share"` // of the requests, 0 to 1
	How   string  `yaml:"how"`   // a status from 400 to 599, "reset" (no answer at all) or "cut" (half a body)
}

// Rules is a file of rules. The first that says something about a matter decides it; tags and headers of all that match add up.
type Rules struct {
	Rules []Rule `yaml:"rules"`
}

// ParseRules reads YAML. The error names every fault.
func ParseRules(text []byte) (Rules, error) {
	var r Rules
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&r); err != nil && !errors.Is(err, io.EOF) {
		return r, err
	}
	_, err := r.compile()
	return r, err
}

// plan is a rule that is ready to be used.
type plan struct {
	pattern    string
	sizes      *workload.Sizes
	delay      *delay
	stall      *Stall
	errors     *failure
	cache      *string
	tags       []string
	tagField   string
	headers    string // lines with their CRLF
	chunked    *bool
	validators *bool
}

type failure struct {
	share  float64
	status int // 0: reset or cut
	cut    bool
}

// delay is fixed, or log-normal when sigma is above 0.
type delay struct {
	median time.Duration
	sigma  float64
	most   time.Duration
}

func (r *Rules) compile() ([]plan, error) {
	var plans []plan
	var faults []error
	for i := range r.Rules {
		p, errs := r.Rules[i].compile()
		for _, err := range errs {
			faults = append(faults, fmt.Errorf("rule %d (%s): %w", i+1, r.Rules[i].Match, err))
		}
		plans = append(plans, p)
	}
	return plans, errors.Join(faults...)
}

func (r *Rule) compile() (plan, []error) {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	p := plan{pattern: r.Match, cache: r.CacheControl, tags: r.Tags, tagField: r.TagField, chunked: r.Chunked, validators: r.Validators}
	check(r.Match == "*" || strings.HasPrefix(r.Match, "/"), "match is %q; it can be a path or *", r.Match)
	if r.Size != "" {
		s, err := workload.ParseSizes(r.Size)
		check(err == nil, "size: %w", err)
		p.sizes = &s
	}
	if r.Delay != "" {
		d, err := parseDelay(r.Delay)
		check(err == nil, "delay: %w", err)
		p.delay = &d
	}
	if s := r.Stall; s != nil {
		check((s.Share > 0) != (s.Every > 0) && s.Share >= 0 && s.Share <= 1, "stall: either share (above 0 up to 1) or every (a duration) is possible")
		check(s.For > 0 && (s.Every == 0 || s.For < s.Every), "stall: for is %v; it must be above 0 and below every", s.For)
		p.stall = s
	}
	if e := r.Errors; e != nil {
		f, err := e.compile()
		check(err == nil, "errors: %w", err)
		p.errors = f
	}
	if r.CacheControl != nil {
		check(goodValue(*r.CacheControl), "cache_control: it must not hold line breaks")
	}
	for _, tag := range r.Tags {
		check(goodValue(tag) && !strings.ContainsAny(tag, " ,"), "tags: %q must hold no space and no comma", tag)
	}
	check(r.TagField == "" || goodName(r.TagField), "tag_field: %q is no name of a field", r.TagField)
	for name, value := range r.Headers {
		check(goodName(name) && goodValue(value), "headers: %q is no field", name+": "+value)
		p.headers += name + ": " + value + "\r\n"
	}
	return p, faults
}

func (e *Errors) compile() (*failure, error) {
	f := &failure{share: e.Share}
	var err error
	if !(e.Share >= 0 && e.Share <= 1) {
		err = fmt.Errorf("share is %v; it can be 0 to 1", e.Share)
	}
	switch e.How {
	case "reset":
	case "cut":
		f.cut = true
	default:
		n, perr := strconv.Atoi(e.How)
		if perr != nil || n < 400 || n > 599 {
			err = errors.Join(err, fmt.Errorf("how is %q; it can be a status from 400 to 599, reset or cut", e.How))
		}
		f.status = n
	}
	return f, err
}

func goodName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func goodValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// parseDelay reads "20ms" or "lognormal:MEDIAN,SIGMA[,LARGEST]".
func parseDelay(s string) (delay, error) {
	bad := fmt.Errorf("%q is no delay; 20ms or lognormal:MEDIAN,SIGMA,LARGEST (like lognormal:20ms,0.5,2s) is", s)
	rest, ok := strings.CutPrefix(s, "lognormal:")
	if !ok {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d > time.Hour {
			return delay{}, bad
		}
		return delay{median: d}, nil
	}
	parts := strings.Split(rest, ",")
	if len(parts) != 2 && len(parts) != 3 {
		return delay{}, bad
	}
	d := delay{most: time.Minute}
	var err1, err2, err3 error
	d.median, err1 = time.ParseDuration(parts[0])
	d.sigma, err2 = strconv.ParseFloat(parts[1], 64)
	if len(parts) == 3 {
		d.most, err3 = time.ParseDuration(parts[2])
	}
	if errors.Join(err1, err2, err3) != nil || d.median <= 0 || d.median > d.most || d.most > time.Hour || !(d.sigma > 0 && d.sigma <= 4) {
		return delay{}, bad
	}
	return d, nil
}

// of draws a delay; normal is a number from the standard normal distribution.
func (d *delay) of(normal float64) time.Duration {
	if d.sigma == 0 {
		return d.median
	}
	return min(time.Duration(float64(d.median)*math.Exp(d.sigma*normal)), d.most)
}

// match compares a path with a pattern in which * stands for any text. stars gets what they stood for.
func match(pattern, path string, stars []string) ([]string, bool) {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return stars, pattern == path
	}
	if !strings.HasPrefix(path, before) {
		return stars, false
	}
	path = path[len(before):]
	if after == "" {
		return append(stars, path), true
	}
	literal, _, _ := strings.Cut(after, "*")
	for from := 0; ; {
		i := strings.Index(path[from:], literal)
		if i < 0 {
			return stars, false
		}
		if out, ok := match(after, path[from+i:], append(stars, path[:from+i])); ok {
			return out, true
		}
		from += i + 1
		if from > len(path) {
			return stars, false
		}
	}
}
