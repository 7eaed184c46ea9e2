// Package storefront is the demo's origin: a small shop with the pages, images, API and cache headers that a real one has.
//
// Guarantees: the same options and time give the same bytes; every cacheable answer carries Cache-Control with
// stale-while-revalidate, a strong ETag, Last-Modified, and Surrogate-Key tags (home, category-3, product-12, ...), and
// answers conditional requests with 304; text is compressed for clients that take gzip, and says Vary; carts and
// stock are never cacheable by a shared cache.
//
// Refuses: it is no shop. Nothing is stored: a cart lives in its cookie, stock follows from the clock.
package storefront

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// DefaultDelay is what a page of an average shop takes to render.
const DefaultDelay = 120 * time.Millisecond

// Scope is which answers the delay holds back.
type Scope uint8

const (
	// ScopePages delays what is computed: pages, search and the API.
	ScopePages Scope = iota
	// ScopeAll delays every answer.
	ScopeAll
)

func (s Scope) String() string {
	switch s {
	case ScopePages:
		return "pages"
	case ScopeAll:
		return "all"
	}
	return "unknown"
}

// Options of New. The zero value is the demo.
type Options struct {
	Delay        time.Duration                              // before each answer in scope; 0: DefaultDelay; negative: none
	Scope        Scope                                      // which answers are delayed
	DownloadSize int64                                      // of /downloads/catalog.bin, bytes; default 32 MiB
	Now          func() time.Time                           // default time.Now
	Sleep        func(context.Context, time.Duration) error // default: a timer that ends with the context
}

// Shop is the http.Handler that New returns. It may be used by many goroutines.
type Shop struct {
	opts     Options
	mux      *http.ServeMux
	pages    *template.Template
	css      asset
	started  time.Time
	images   []image // by product
	requests atomic.Int64
}

// New returns the shop.
func New(opts Options) *Shop {
	if opts.Delay == 0 {
		opts.Delay = DefaultDelay
	}
	if opts.DownloadSize == 0 {
		opts.DownloadSize = 32 << 20
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	s := &Shop{
		opts:    opts,
		mux:     http.NewServeMux(),
		pages:   parseTemplates(),
		css:     loadCSS(),
		started: opts.Now().UTC().Truncate(time.Second),
		images:  make([]image, len(catalog.products)),
	}
	s.routes()
	return s
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Shop) routes() {
	s.page("GET /{$}", s.home)
	s.page("GET /category/{slug}", s.category)
	s.page("GET /product/{slug}", s.product)
	s.page("GET /search", s.search)
	s.page("GET /cart", s.cart)
	s.page("POST /cart", s.addToCart)
	s.page("GET /api/stock/{id}", s.stock)
	s.page("/", s.notFound)
	s.file("GET /images/{name}", s.image)
	s.file("GET /favicon.ico", s.favicon)
	s.file("GET /static/{name}", s.static)
	s.file("GET /downloads/catalog.bin", s.download)
	s.file("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, "ok")
	})
}

// page registers what is computed for each request and therefore delayed; file what is not.
func (s *Shop) page(pattern string, h http.HandlerFunc) { s.handle(pattern, h, true) }

func (s *Shop) file(pattern string, h http.HandlerFunc) {
	s.handle(pattern, h, s.opts.Scope == ScopeAll)
}

func (s *Shop) handle(pattern string, h http.HandlerFunc, delayed bool) {
	delayed = delayed && s.opts.Delay > 0
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if delayed {
			if s.opts.Sleep(r.Context(), s.opts.Delay) != nil {
				return // the client left
			}
			w.Header().Set("Server-Timing", fmt.Sprintf("origin;dur=%.1f", float64(s.opts.Delay)/float64(time.Millisecond)))
		}
		h(w, r)
	})
}

// ServeHTTP answers one request.
func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.mux.ServeHTTP(w, r)
}

// Requests is how many requests reached the shop: what a cache in front of it is there to keep small.
func (s *Shop) Requests() int64 { return s.requests.Load() }

// Example is a path that is worth trying.
type Example struct {
	Path string
	What string
}

// Paths lists one example of each kind of answer.
func Paths() []Example {
	p := &catalog.products[11]
	return []Example{
		{"/", "home page: s-maxage=300, stale-while-revalidate, tag home"},
		{p.Category.Path(), "category page: tags " + p.Category.Tag() + " and those of its products"},
		{p.Path(), "product page: tags " + p.Tag() + " and " + p.Category.Tag()},
		{"/search?q=" + strings.ToLower(strings.Fields(p.Name)[0]), "search: cacheable by its query, for a minute"},
		{p.Photo(), "photo, PNG: cacheable for a day"},
		{p.Drawing(), "drawing, SVG: cacheable for a day"},
		{"/static/" + loadCSS().name, "style sheet: immutable"},
		{"/downloads/catalog.bin", "large download with ranges"},
		{fmt.Sprintf("/api/stock/%d", p.ID), "stock, JSON: no-store"},
		{"/cart", "cart: private"},
		{"/nowhere", "404: cacheable for 30 seconds"},
	}
}
