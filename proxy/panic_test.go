package proxy

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"weir/origin"
	"weir/policy"
)

// brokenOrigin answers with a body whose second Read panics.
type brokenOrigin struct{}

func (brokenOrigin) Do(context.Context, *origin.Request) (*origin.Response, error) {
	return &origin.Response{
		Status: 200, Fields: policy.Fields{{Name: "Cache-Control", Value: "max-age=60"}}, ContentLength: 1 << 20,
		Body: io.NopCloser(io.MultiReader(strings.NewReader("some bytes"), brokenBody{})),
	}, nil
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { panic("planted") }

// TestPanicInFetchEndsItsReaders: a fetch that breaks ends in a broken transfer for those who read its body, and
// leaves nothing behind that a later request could wait for.
func TestPanicInFetchEndsItsReaders(t *testing.T) {
	b := newBench(t, Options{Log: slog.New(slog.DiscardHandler)}, "", brokenOrigin{})
	for range 2 {
		ctx := b.request("GET /x HTTP/1.1\nHost: a.test")
		b.p.handle(ctx)
		if !ctx.Response.IsBodyStream() {
			t.Fatalf("no body: %s", ctx.Response.Header.String())
		}
		n, err := io.Copy(io.Discard, struct{ io.Reader }{ctx.Response.BodyStream()})
		if err == nil || n > 10 {
			t.Errorf("%d bytes, error %v", n, err)
		}
		if err := ctx.Response.CloseBodyStream(); err != nil {
			t.Error(err)
		}
		b.p.fetch.Wait()
	}
}
