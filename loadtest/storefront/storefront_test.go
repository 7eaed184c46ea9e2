package storefront

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/loadtest/selfcheck"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that a test sets.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2024, 5, 17, 10, 5, 30, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func quickShop() (*Shop, *clock) {
	c := newClock()
	return New(Options{Delay: -1, DownloadSize: 100_000, Now: c.now}), c
}

func do(h http.Handler, method, target string, fields ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCachingOfEachKind(t *testing.T) {
	s, _ := quickShop()
	p := catalog.product(12)
	for _, c := range []struct {
		path, contentType, control string
		tags                       []string
		status                     int
		vary                       bool
	}{
		{"/", html, "s-maxage=300", []string{"home", "product-1"}, 200, true},
		{p.Category.Path(), html, "s-maxage=600", []string{"category-2", "product-12"}, 200, true},
		{p.Path(), html, "s-maxage=3600", []string{"category-2", "product-12"}, 200, true},
		{"/search?q=mug", html, "s-maxage=60", []string{"search", "product-12"}, 200, true},
		{p.Drawing(), "image/svg+xml", "s-maxage=86400", []string{"images", "product-12"}, 200, true},
		{p.Photo(), "image/png", "s-maxage=86400", []string{"images", "product-12"}, 200, false},
		{"/favicon.ico", "image/svg+xml", "s-maxage=86400", []string{"images"}, 200, true},
		{"/static/" + s.css.name, "text/css; charset=utf-8", "immutable", []string{"static"}, 200, true},
		{"/downloads/catalog.bin", "application/octet-stream", "stale-while-revalidate", []string{"downloads"}, 200, false},
		{"/api/stock/12", "application/json", "no-store", nil, 200, false},
		{"/cart", html, "private, no-store", nil, 200, false},
		{"/healthz", "text/plain; charset=utf-8", "no-store", nil, 200, false},
		{"/nowhere", html, "max-age=30", []string{"not-found"}, 404, false},
		{"/product/99", html, "max-age=30", []string{"not-found"}, 404, false},
		{"/category/none", html, "max-age=30", []string{"not-found"}, 404, false},
		{"/images/product-012.svg", html, "max-age=30", nil, 404, false},
		{"/images/product-1.gif", html, "max-age=30", nil, 404, false},
		{"/static/style.css", html, "max-age=30", nil, 404, false},
		{"/api/stock/0", "application/json", "no-store", nil, 404, false},
		{"/product/12", html, "max-age=3600", []string{"product-12"}, 301, false},
	} {
		t.Run(c.path, func(t *testing.T) {
			res := do(s, "GET", c.path)
			h := res.Header
			if res.StatusCode != c.status || h.Get("Content-Type") != c.contentType || !strings.Contains(h.Get("Cache-Control"), c.control) {
				t.Errorf("%d, %q, %q", res.StatusCode, h.Get("Content-Type"), h.Get("Cache-Control"))
			}
			tags := strings.Fields(h.Get("Surrogate-Key"))
			for _, tag := range c.tags {
				if !slices.Contains(tags, tag) {
					t.Errorf("no tag %s in %v", tag, tags)
				}
			}
			if got := h.Get("Vary") == "Accept-Encoding"; got != c.vary {
				t.Errorf("Vary: %q", h.Get("Vary"))
			}
			if len(bodyOf(t, res)) == 0 {
				t.Error("the body is empty")
			}
			head := do(s, "HEAD", c.path)
			if b := bodyOf(t, head); head.StatusCode != c.status || len(b) != 0 && c.path != "/healthz" && !strings.HasPrefix(c.path, "/api") && c.path != "/cart" {
				t.Errorf("HEAD: %d with %d bytes", head.StatusCode, len(b))
			}
		})
	}
}

func TestConditionalRequests(t *testing.T) {
	for _, path := range []string{"/", "/category/mugs", catalog.product(3).Path(), "/search?q=oak", catalog.product(3).Photo(), catalog.product(3).Drawing(), "/downloads/catalog.bin"} {
		t.Run(path, func(t *testing.T) {
			s, _ := quickShop()
			first := do(s, "GET", path)
			tag, modified := first.Header.Get("ETag"), first.Header.Get("Last-Modified")
			if !strings.HasPrefix(tag, `"`) || modified == "" {
				t.Fatalf("validators %q, %q", tag, modified)
			}
			for _, field := range []string{"If-None-Match: " + tag, "If-None-Match: W/" + tag, "If-Modified-Since: " + modified} {
				res := do(s, "GET", path, field)
				if res.StatusCode != 304 || len(bodyOf(t, res)) != 0 || res.Header.Get("Cache-Control") != first.Header.Get("Cache-Control") {
					t.Errorf("%s: %d", field, res.StatusCode)
				}
			}
			for _, field := range []string{`If-None-Match: "other"`, "If-Modified-Since: Mon, 01 Jan 2001 00:00:00 GMT"} {
				if res := do(s, "GET", path, field); res.StatusCode != 200 {
					t.Errorf("%s: %d", field, res.StatusCode)
				}
			}
		})
	}
}

// Within a minute a page revalidates, after it it has changed.
func TestPagesChangeEachMinute(t *testing.T) {
	s, c := quickShop()
	tag := "If-None-Match: " + do(s, "GET", "/").Header.Get("ETag")
	c.advance(29 * time.Second)
	if res := do(s, "GET", "/", tag); res.StatusCode != 304 {
		t.Errorf("in the same minute: %d", res.StatusCode)
	}
	c.advance(time.Second)
	res := do(s, "GET", "/", tag)
	if res.StatusCode != 200 || !bytes.Contains(bodyOf(t, res), []byte("10:06 UTC")) {
		t.Errorf("in the next: %d", res.StatusCode)
	}
}

func TestGzip(t *testing.T) {
	s, _ := quickShop()
	for _, path := range []string{"/", "/static/" + s.css.name, "/images/product-1.svg"} {
		plain := do(s, "GET", path)
		packed := do(s, "GET", path, "Accept-Encoding: br, gzip;q=0.5")
		if packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("ETag") == plain.Header.Get("ETag") {
			t.Fatalf("%s: %v", path, packed.Header)
		}
		raw := bodyOf(t, packed)
		if packed.Header.Get("Content-Length") != fmt.Sprint(len(raw)) {
			t.Errorf("%s: Content-Length %s for %d bytes", path, packed.Header.Get("Content-Length"), len(raw))
		}
		zr, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(zr)
		if err != nil || !bytes.Equal(text, bodyOf(t, plain)) {
			t.Errorf("%s: the compressed page is another (%v)", path, err)
		}
		again := do(s, "GET", path, "Accept-Encoding: gzip", "If-None-Match: "+packed.Header.Get("ETag"))
		if again.StatusCode != 304 || again.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %d %v", path, again.StatusCode, again.Header)
		}
	}
	if res := do(s, "GET", catalog.product(1).Photo(), "Accept-Encoding: gzip"); res.Header.Get("Content-Encoding") != "" {
		t.Error("a PNG was compressed again")
	}
}

func TestAcceptsGzip(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "gzip": true, "GZIP ; Q=1": true, "x-gzip": true, "br": false, "*": true, "*;q=0": false,
		"gzip;q=0": false, "gzip;q=0, *": false, "*;q=0, gzip": true, "gzip;q=nonsense": false, "br;q=1.0, gzip;q=0.001": true, "identity": false,
	} {
		if got := acceptsGzip([]string{text}); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}

func TestDownloadRanges(t *testing.T) {
	s, _ := quickShop()
	whole := do(s, "GET", "/downloads/catalog.bin")
	if _, err := selfcheck.Verify(whole.Body, DownloadSeed, 0, 100_000, nil); err != nil {
		t.Error(err)
	}
	part := do(s, "GET", "/downloads/catalog.bin", "Range: bytes=70001-", "If-Range: "+whole.Header.Get("ETag"))
	if part.StatusCode != 206 || part.Header.Get("Content-Range") != "bytes 70001-99999/100000" {
		t.Errorf("%d %v", part.StatusCode, part.Header)
	}
	if _, err := selfcheck.Verify(part.Body, DownloadSeed, 70_001, 29_999, nil); err != nil {
		t.Error(err)
	}
	if res := do(s, "GET", "/downloads/catalog.bin", "Range: bytes=100000-"); res.StatusCode != 416 {
		t.Errorf("beyond the end: %d", res.StatusCode)
	}
}

// Every link and every picture of every page leads to something.
func TestNoBrokenLinks(t *testing.T) {
	s, _ := quickShop()
	link := regexp.MustCompile(`(?:href|src|action)="([^"]+)"`)
	seen := map[string]bool{}
	// A photo takes long to make, most of all under the race detector: of those that
	// belong to a product every tenth is asked for.
	spared := map[string]bool{}
	for i := range catalog.products {
		spared[catalog.products[i].Photo()] = i%10 != 0
	}
	todo := []string{"/", "/search?q=", "/search?q=lamp"}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		if spared[path] {
			continue
		}
		res := do(s, "GET", path)
		if res.StatusCode != 200 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			continue
		}
		body := string(bodyOf(t, res))
		if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
			t.Errorf("%s: the template refused a value", path)
		}
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			todo = append(todo, strings.ReplaceAll(m[1], "&amp;", "&"))
		}
	}
	if len(seen) < 150 {
		t.Errorf("only %d pages and files were found", len(seen))
	}
}

func TestPicturesAreReal(t *testing.T) {
	s, _ := quickShop()
	seen := map[string]bool{}
	for i := range catalog.products {
		p := &catalog.products[i]
		svg := bodyOf(t, do(s, "GET", p.Drawing()))
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", p.Drawing(), err)
			}
		}
		if seen[string(svg)] {
			t.Errorf("%s looks like another product", p.Name)
		}
		seen[string(svg)] = true
	}
	body := bodyOf(t, do(s, "GET", catalog.product(5).Photo()))
	img, err := png.Decode(bytes.NewReader(body))
	if err != nil || img.Bounds().Dx() != photoWidth || len(body) < 100_000 {
		t.Errorf("photo of %d bytes: %v", len(body), err)
	}
	other, _ := quickShop()
	if !bytes.Equal(body, bodyOf(t, do(other, "GET", catalog.product(5).Photo()))) {
		t.Error("two shops made two photos")
	}
}

func TestSearch(t *testing.T) {
	s, _ := quickShop()
	body := string(bodyOf(t, do(s, "GET", "/search?q="+url.QueryEscape(`<script>alert(1)</script>`))))
	if strings.Contains(body, "<script>alert") || !strings.Contains(body, "0 found") {
		t.Error("the query was echoed as markup")
	}
	cheap := string(bodyOf(t, do(s, "GET", "/search?q=mugs&sort=price")))
	prices := regexp.MustCompile(`class="price">€ (\d+)`).FindAllStringSubmatch(cheap, -1)
	if len(prices) != productsPerCategory {
		t.Fatalf("%d mugs", len(prices))
	}
	if !slices.IsSortedFunc(prices, func(a, b []string) int { return len(a[1])*1000 - len(b[1])*1000 + strings.Compare(a[1], b[1]) }) {
		t.Errorf("not sorted: %v", prices)
	}
	for _, page := range []string{"-1", "99", "x", ""} {
		if res := do(s, "GET", "/search?q=&page="+page); res.StatusCode != 200 {
			t.Errorf("page %q: %d", page, res.StatusCode)
		}
	}
	if res := do(s, "GET", "/search?q="+strings.Repeat("%C3%A9", 5000)); res.StatusCode != 200 || len(bodyOf(t, res)) > 5000 {
		t.Error("a long query was echoed in full")
	}
}

func TestCart(t *testing.T) {
	s, _ := quickShop()
	cookie := ""
	for _, id := range []string{"12", "7", "12"} {
		r := httptest.NewRequest("POST", "/cart", strings.NewReader("product="+id))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusSeeOther || w.Header().Get("Cache-Control") != privately {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
	}
	if cookie != "cart=12x2.7x1" {
		t.Errorf("cookie %q", cookie)
	}
	body := string(bodyOf(t, do(s, "GET", "/cart", "Cookie: "+cookie)))
	sum := euros(2*catalog.product(12).Cents + catalog.product(7).Cents)
	if !strings.Contains(body, catalog.product(12).Name) || !strings.Contains(body, sum) {
		t.Errorf("no %s for %s in the cart", sum, catalog.product(12).Name)
	}
	junk := string(bodyOf(t, do(s, "GET", "/cart", "Cookie: cart=99x1.x.1x-1.1x99.<b>"+strings.Repeat(".2x1", 100))))
	if n := strings.Count(junk, "<tr><td>"); n != cartLines {
		t.Errorf("%d lines from a forged cookie", n)
	}
	for _, form := range []string{"product=99", "product=", "other=1", "product=" + strings.Repeat("1", 9000)} {
		r := httptest.NewRequest("POST", "/cart", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%.20s: %d", form, w.Code)
		}
	}
}

func TestStockFollowsTheClock(t *testing.T) {
	s, c := quickShop()
	seen := map[int]bool{}
	for range 30 {
		var a, b stockAnswer
		if err := json.Unmarshal(bodyOf(t, do(s, "GET", "/api/stock/4")), &a); err != nil || a.Product != 4 {
			t.Fatal(a, err)
		}
		json.Unmarshal(bodyOf(t, do(s, "GET", "/api/stock/4")), &b)
		if a != b {
			t.Errorf("two answers at one time: %v, %v", a, b)
		}
		seen[a.Available] = true
		c.advance(stockHolds)
	}
	if len(seen) < 5 {
		t.Errorf("the stock hardly changes: %v", seen)
	}
}

func TestDelay(t *testing.T) {
	for scope, want := range map[Scope]map[string]time.Duration{
		ScopePages: {"/": time.Second, "/api/stock/1": time.Second, "/images/product-1.svg": 0, "/downloads/catalog.bin": 0},
		ScopeAll:   {"/": time.Second, "/api/stock/1": time.Second, "/images/product-1.svg": time.Second, "/downloads/catalog.bin": time.Second},
	} {
		for path, d := range want {
			var slept time.Duration
			s := New(Options{Delay: time.Second, Scope: scope, DownloadSize: 10, Sleep: func(_ context.Context, d time.Duration) error {
				slept += d
				return nil
			}})
			if res := do(s, "GET", path); slept != d || (res.Header.Get("Server-Timing") != "") != (d > 0) {
				t.Errorf("%s of %s: slept %v, want %v", scope, path, slept, d)
			}
		}
	}
	if New(Options{}).opts.Delay != DefaultDelay {
		t.Error("the default delay is not the default")
	}
}

func TestDelayEndsWithTheClient(t *testing.T) {
	s := New(Options{Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if w.Body.Len() > 0 {
		t.Error("a page was rendered for a client that had left")
	}
}

func TestPathsWork(t *testing.T) {
	s, _ := quickShop()
	for _, e := range Paths() {
		want := 200
		if e.Path == "/nowhere" {
			want = 404
		}
		if res := do(s, "GET", e.Path); res.StatusCode != want || e.What == "" {
			t.Errorf("%s: %d", e.Path, res.StatusCode)
		}
	}
	if got := s.Requests(); got != int64(len(Paths())) {
		t.Errorf("%d requests counted", got)
	}
}

func TestOverARealConnection(t *testing.T) {
	s, _ := quickShop()
	ts := httptest.NewServer(s)
	defer ts.Close()
	res, err := ts.Client().Get(ts.URL + "/") // asks for gzip and unpacks it
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b := bodyOf(t, res); !res.Uncompressed || !bytes.Contains(b, []byte("</html>")) {
		t.Errorf("%d bytes, uncompressed %t", len(b), res.Uncompressed)
	}
}
