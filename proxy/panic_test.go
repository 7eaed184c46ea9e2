package proxy

import (
	"bytes"
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
		r := b.request("GET /x HTTP/1.1\nHost: a.test")
		b.p.handle(r)
		if !r.Streams() {
			t.Fatalf("no body: %s", r.Head())
		}
		var body bytes.Buffer
		if err := r.WriteBody(&body); err == nil || body.Len() > 10 {
			t.Errorf("%d bytes, error %v", body.Len(), err)
		}
		b.p.fetch.Wait()
	}
}
