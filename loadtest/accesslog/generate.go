package accesslog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"time"
)

// GenerateOptions shape a generated log. Zero values take the defaults, which resemble a small public web site.
type GenerateOptions struct {
	Seed       uint64    // same options, same log
	Lines      int       // default 10,000
	URLs       int       // distinct URLs that exist, default 1,500, at most 10 million
	Zipf       float64   // exponent of the popularity, default 0.9, at least 0
	MedianSize int64     // bytes, default 12 KiB
	Sigma      float64   // of the log-normal sizes, default 1.6
	MaxSize    int64     // bytes, default 64 MiB
	Start      time.Time // of the first line, default 17 May 2015 10:05:03 UTC
}

func (o GenerateOptions) withDefaults() GenerateOptions {
	setDefault(&o.Lines, 10_000)
	setDefault(&o.URLs, 1_500)
	setDefault(&o.Zipf, 0.9)
	setDefault(&o.MedianSize, 12<<10)
	setDefault(&o.Sigma, 1.6)
	setDefault(&o.MaxSize, 64<<20)
	if o.Start.IsZero() {
		o.Start = time.Date(2015, time.May, 17, 10, 5, 3, 0, time.UTC)
	}
	return o
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func (o GenerateOptions) validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(o.Lines > 0, "lines is %d, should be above 0", o.Lines)
	check(o.URLs > 0 && o.URLs <= 10_000_000, "urls is %d, should be 1 to 10000000", o.URLs)
	check(o.Zipf >= 0 && o.Zipf <= 10, "zipf is %v, should be 0 to 10", o.Zipf)
	check(o.MedianSize > 0, "median size is %d, should be above 0", o.MedianSize)
	check(o.Sigma >= 0 && o.Sigma <= 10, "sigma is %v, should be 0 to 10", o.Sigma)
	check(o.MaxSize >= o.MedianSize, "max size is %d, should be at least the median size %d", o.MaxSize, o.MedianSize)
	return errors.Join(faults...)
}

// Generate writes a log in the combined format to w: Zipf popularity, log-normal sizes that stay the same for one URL,
// and the oddities of real logs: HEAD, POST, 404, 301, 304, 206, "-" sizes, query strings, HTTP/1.0.
func Generate(w io.Writer, opts GenerateOptions) error {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return fmt.Errorf("cannot generate log: %w", err)
	}
	g := newGenerator(opts)
	bw := bufio.NewWriter(w)
	var line []byte
	for range opts.Lines {
		e := g.next()
		line = append(e.AppendTo(line[:0]), '\n')
		if _, err := bw.Write(line); err != nil {
			return fmt.Errorf("cannot write log: %w", err)
		}
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("cannot write log: %w", err)
	}
	return nil
}

type generator struct {
	opts    GenerateOptions
	rng     *rand.Rand
	targets []string
	sizes   []int64
	cum     []float64 // cumulated popularity of targets[i]; the last is the sum
	now     time.Time
}

func newGenerator(opts GenerateOptions) *generator {
	g := &generator{
		opts:    opts,
		rng:     rand.New(rand.NewPCG(opts.Seed, 0x6c6f67)),
		targets: make([]string, opts.URLs),
		sizes:   make([]int64, opts.URLs),
		cum:     make([]float64, opts.URLs),
		now:     opts.Start,
	}
	sum := 0.0
	for i := range g.targets {
		g.targets[i] = g.target(i)
		size := float64(opts.MedianSize) * math.Exp(opts.Sigma*g.rng.NormFloat64())
		g.sizes[i] = int64(min(max(size, 1), float64(opts.MaxSize)))
		sum += math.Pow(float64(i+1), -opts.Zipf)
		g.cum[i] = sum
	}
	return g
}

// target names the i-th most popular URL; kinds are spread over all ranks.
func (g *generator) target(i int) string {
	switch g.rng.IntN(10) {
	case 0:
		return fmt.Sprintf("/search?q=%s&page=%d", words[g.rng.IntN(len(words))], i)
	case 1:
		return fmt.Sprintf("/files/%s-%d.tar.gz", words[g.rng.IntN(len(words))], i)
	case 2, 3, 4:
		return fmt.Sprintf("/images/%s-%d.png", words[g.rng.IntN(len(words))], i)
	case 5:
		return fmt.Sprintf("/static/%d.css?v=%x", i, g.rng.Uint32())
	default:
		return fmt.Sprintf("/articles/%s/%d/", words[g.rng.IntN(len(words))], i)
	}
}

var words = strings.Fields("cache edge origin shield purge stale fresh tier disk ram segment index policy header")

var agents = []string{
	"Mozilla/5.0 (X11; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0",
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36",
	"UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/",
	"-",
}

func (g *generator) next() Entry {
	i := sort.SearchFloat64s(g.cum, g.rng.Float64()*g.cum[len(g.cum)-1])
	i = min(i, len(g.targets)-1)
	g.now = g.now.Add(time.Duration(g.rng.IntN(60)) * time.Second)
	e := Entry{
		Client: fmt.Sprintf("192.0.2.%d", g.rng.IntN(256)),
		Ident:  "-", User: "-",
		Time:   g.now,
		Method: "GET", Target: g.targets[i], Proto: "HTTP/1.1",
		Status: 200, Size: g.sizes[i],
		Referer: "-",
		Agent:   agents[g.rng.IntN(len(agents))],
	}
	if g.rng.IntN(14) == 0 {
		e.Proto = "HTTP/1.0"
	}
	// Shares in a thousand, close to those of a real site.
	switch n := g.rng.IntN(1000); {
	case n < 45:
		e.Status, e.Size = 304, -1
	case n < 66:
		e.Target, e.Status, e.Size = fmt.Sprintf("/missing/%d", g.rng.IntN(40)), 404, 324
	case n < 82:
		e.Target, e.Status, e.Size = fmt.Sprintf("/moved/%d", g.rng.IntN(20)), 301, 318
	case n < 87:
		e.Status, e.Size = 206, 1+g.rng.Int64N(e.Size)
	case n < 91:
		e.Method, e.Size = "HEAD", -1
	case n < 93:
		e.Method, e.Target, e.Size = "POST", "/form", 512
	}
	e.Request = e.Method + " " + e.Target + " " + e.Proto
	return e
}
