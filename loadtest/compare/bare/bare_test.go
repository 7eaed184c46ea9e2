package bare

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

func TestPaths(t *testing.T) {
	for path, want := range map[string]Object{
		Path(KindLong, 1024, 7):  {Kind: KindLong, Size: 1024},
		Path(KindShort, 1, 0):    {Kind: KindShort, Size: 1},
		Path(KindTagged, 10, 99): {Kind: KindTagged, Size: 10},
	} {
		o, ok := Parse(path)
		if !ok || o.Kind != want.Kind || o.Size != want.Size || len(o.Body()) != want.Size {
			t.Errorf("%s: %+v, %t", path, o, ok)
		}
	}
	for _, bad := range []string{"", "/", "/o", "/o/", "/o/5", "/o/0/1", "/o/-1/1", "/o/5/x", "/o/5/-1", "/x/5/1", "/o/99999999/1", "o/5/1", "/o/5/1/2"} {
		if o, ok := Parse(bad); ok {
			t.Errorf("%q was read as %+v", bad, o)
		}
	}
}

func TestBodiesDiffer(t *testing.T) {
	seen := make(map[string]string)
	for n := range 2000 {
		path := Path(KindLong, 64, n)
		o, _ := Parse(path)
		if other, ok := seen[string(o.Body())]; ok {
			t.Errorf("%s and %s have one body", path, other)
		}
		seen[string(o.Body())] = path
	}
}

func TestMixedSizes(t *testing.T) {
	var sizes []int
	for n := range 4001 {
		o, ok := Parse(Path(KindLong, 0, n))
		if !ok || o.Size < 256 || o.Size > 1<<20 {
			t.Fatalf("%d: %+v, %t", n, o, ok)
		}
		sizes = append(sizes, o.Size)
	}
	slices.Sort(sizes)
	if median := sizes[2000]; median < 9000 || median > 11500 {
		t.Errorf("the median is %d bytes, about 10240 were expected", median)
	}
	if high := sizes[3960]; high < 100<<10 || high > 260<<10 {
		t.Errorf("one in a hundred is above %d bytes, about 160 KiB were expected", high)
	}
}

// serving starts a server in memory and returns a client for it.
func serving(t *testing.T, serve func(net.Listener) error) *http.Client {
	ln := fasthttputil.NewInmemoryListener()
	done := make(chan error, 1)
	go func() { done <- serve(ln) }()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func request(t *testing.T, c *http.Client, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://origin"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

func TestOrigin(t *testing.T) {
	c := serving(t, new(Origin).Serve)
	for path, control := range map[string]string{
		Path(KindLong, 100, 1): "public, max-age=86400", Path(KindShort, 100, 1): "public, max-age=1",
		Path(KindPrivate, 100, 1): "private, no-store", Path(KindTagged, 100, 1): "public, max-age=86400",
	} {
		o, _ := Parse(path)
		res, body := request(t, c, path)
		if res.StatusCode != 200 || !bytes.Equal(body, o.Body()) || res.Header.Get("Cache-Control") != control {
			t.Errorf("%s: %s, %d bytes, %q", path, res.Status, len(body), res.Header.Get("Cache-Control"))
		}
		if got := res.Header.Get("xkey"); (got == Tag) != (o.Kind == KindTagged) {
			t.Errorf("%s: tag %q", path, got)
		}
		if res, body := request(t, c, path, "If-None-Match", res.Header.Get("ETag")); res.StatusCode != 304 || len(body) > 0 {
			t.Errorf("%s with its ETag: %s", path, res.Status)
		}
	}
	if res, _ := request(t, c, "/nothing"); res.StatusCode != 404 {
		t.Errorf("/nothing: %s", res.Status)
	}
	var s Stats
	_, body := request(t, c, StatsPath)
	if err := json.Unmarshal(body, &s); err != nil || s != (Stats{Requests: 9, NotModified: 4}) {
		t.Errorf("counted %+v (%v), 9 requests and 4 times 304 were expected", s, err)
	}
}

func TestYardstick(t *testing.T) {
	y, err := NewYardstick([]Set{{KindLong, 50, 3}}, []string{"Age: 10", "Via: 1.1 weir"})
	if err != nil {
		t.Fatal(err)
	}
	c := serving(t, y.Serve)
	o, _ := Parse(Path(KindLong, 50, 2))
	res, body := request(t, c, Path(KindLong, 50, 2))
	if !bytes.Equal(body, o.Body()) || res.Header.Get("Age") != "10" || res.Header.Get("Via") != "1.1 weir" || res.Header.Get("ETag") != o.ETag() {
		t.Errorf("%s, %d bytes, %v", res.Status, len(body), res.Header)
	}
	if res, _ := request(t, c, Path(KindLong, 50, 3)); res.StatusCode != 404 {
		t.Errorf("an object too many: %s", res.Status)
	}
	if _, err := NewYardstick([]Set{{KindLong, 3 << 20, 1}}, nil); err == nil {
		t.Error("an object too large was prepared")
	}
}

// Send must find what is wrong: a body of another object, one that is short, an
// error.
func TestSendFindsFaults(t *testing.T) {
	wrong := map[string]func(*fasthttp.RequestCtx){
		"wrong body":    func(ctx *fasthttp.RequestCtx) { o, _ := Parse(Path(KindLong, 100, 9)); ctx.SetBody(o.Body()) },
		"99 bytes":      func(ctx *fasthttp.RequestCtx) { o, _ := Parse(string(ctx.Path())); ctx.SetBody(o.Body()[:99]) },
		"answered 503":  func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(503) },
		"cannot get /o": func(ctx *fasthttp.RequestCtx) { _ = ctx.Conn().Close() },
	}
	for want, handler := range wrong {
		t.Run(want, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			good := new(Origin)
			done := make(chan error, 1)
			go func() {
				done <- serve(ln, func(ctx *fasthttp.RequestCtx) {
					if strings.HasSuffix(string(ctx.Path()), "/5") {
						handler(ctx)
						return
					}
					good.handle(ctx)
				})
			}()
			paths := Set{KindLong, 100, 10}.Paths()
			err = Send(context.Background(), ln.Addr().String(), "compare.test", 3, slices.Values(paths))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if err := Send(context.Background(), ln.Addr().String(), "compare.test", 3, slices.Values(paths[:5])); err != nil {
				t.Errorf("right answers were refused: %v", err)
			}
			_ = ln.Close()
			<-done
		})
	}
}
