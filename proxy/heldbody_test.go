package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/origin"
	"weir/policy"
	"weir/tiers"
	"weir/tiers/disk"
)

// versionedOrigin answers with the digit of its version, again and again, and
// wants to be asked once a minute. While hold is set it waits.
type versionedOrigin struct {
	version atomic.Int64
	size    int
	asked   chan struct{}
	hold    atomic.Pointer[chan struct{}]
}

func (o *versionedOrigin) Do(_ context.Context, r *origin.Request) (*origin.Response, error) {
	if hold := o.hold.Load(); hold != nil {
		o.asked <- struct{}{}
		<-*hold
	}
	v := o.version.Load()
	tag := fmt.Sprintf(`"v%d"`, v)
	resp := &origin.Response{Status: 200, Fields: policy.Fields{{Name: "Cache-Control", Value: "max-age=60"}, {Name: "Etag", Value: tag}}}
	body := bytes.Repeat([]byte{byte('0' + v)}, o.size)
	if r.Fields.Get("If-None-Match") == tag {
		resp.Status, body = http.StatusNotModified, nil
	}
	resp.ContentLength, resp.Body = int64(len(body)), io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// TestFollowerReadsTheBodyThatWasValidated: a request that looked up one version
// and joins the validation of a later one, of the same length, whose bodies are on
// disk, does not answer with the first body under the second's ETag.
func TestFollowerReadsTheBodyThatWasValidated(t *testing.T) {
	for _, size := range []int{100 << 10, 600 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			o := &versionedOrigin{size: size, asked: make(chan struct{}, 8)}
			o.version.Store(1)
			var skew atomic.Int64
			now := func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
			b := newBenchOver(t, Options{Now: now}, tiers.Options{
				RAMSize: 64 << 20, RAMMaxObject: 64 << 10, Disk: &disk.Options{Dir: t.TempDir(), Size: 256 << 20}, DiskMaxObject: 64 << 20,
				Now: now,
			}, o)
			const raw = "GET /a HTTP/1.1\nHost: h.example"
			b.do(b.request(raw))
			b.p.fetch.Wait()

			// The slow request finds version 1.
			skew.Add(int64(61 * time.Second))
			slow := b.request(raw)
			x := b.p.exchangeFor(slow)
			x.begin()
			if s := x.receive(); s != stateLookup {
				t.Fatalf("receive leads to %v", s)
			}
			if s := x.lookup(); s != stateJoin || x.stale == nil {
				t.Fatalf("lookup leads to %v with %v", s, x.stale)
			}
			// Another brings version 2, and a third has it validated.
			o.version.Store(2)
			b.do(b.request(raw))
			b.p.fetch.Wait()
			skew.Add(int64(61 * time.Second))
			hold := make(chan struct{})
			o.hold.Store(&hold)
			third := make(chan string, 1)
			go func() { third <- b.do(b.request(raw)) }()
			<-o.asked
			f, leads := b.p.fetch.Join(&x.key, false)
			if leads {
				t.Fatal("there is no validation to join")
			}
			o.hold.Store(nil)
			close(hold)
			<-f.Ready()
			x.waited = true
			x.flight = f
			s := x.follow()
			<-third
			for s != stateDeliver && s != stateDone {
				switch s {
				case stateLookup:
					s = x.lookup()
				case stateJoin:
					s = x.join()
				case stateFollow:
					s = x.follow()
				case stateTake:
					s = x.take()
				default:
					t.Fatalf("the request goes to %v", s)
				}
			}
			if s = x.deliver(); s != stateFinish {
				t.Fatalf("deliver leads to %v", s)
			}
			x.handOver()
			var body bytes.Buffer
			if err := slow.WriteBody(&body); err != nil {
				t.Fatal(err)
			}
			if got := slow.Head(); !strings.Contains(got, `"v2"`) {
				t.Fatalf("not the answer about version 2:\n%s", got)
			}
			if want := bytes.Repeat([]byte("2"), size); !bytes.Equal(body.Bytes(), want) {
				t.Fatalf("%d bytes beginning with %.1q under the ETag of version 2", body.Len(), body.Bytes())
			}
		})
	}
}

// rangedOrigin answers every range of an object of 1,000,000 bytes.
type rangedOrigin struct{ asked []string }

func (o *rangedOrigin) Do(_ context.Context, r *origin.Request) (*origin.Response, error) {
	o.asked = append(o.asked, r.Fields.Get("Range"))
	var first, last int
	if _, err := fmt.Sscanf(r.Fields.Get("Range"), "bytes=%d-%d", &first, &last); err != nil {
		return nil, err
	}
	return &origin.Response{
		Status: http.StatusPartialContent,
		Fields: policy.Fields{
			{Name: "Cache-Control", Value: "max-age=3600"},
			{Name: "Etag", Value: `"1"`},
			{Name: "Content-Range", Value: fmt.Sprintf("bytes %d-%d/1000000", first, last)},
		},
		ContentLength: int64(last - first + 1), Body: io.NopCloser(bytes.NewReader(make([]byte, last-first+1))),
	}, nil
}

// TestPartsGrowOnDisk: parts that are too large for RAM together still grow into
// one, and what was fetched is not fetched again.
func TestPartsGrowOnDisk(t *testing.T) {
	o := &rangedOrigin{}
	b := newBenchOver(t, Options{}, tiers.Options{
		RAMSize: 64 << 20, RAMMaxObject: 64 << 10, Disk: &disk.Options{Dir: t.TempDir(), Size: 256 << 20}, DiskMaxObject: 64 << 20,
	}, o)
	for _, r := range []string{"0-49999", "50000-99999", "100000-149999", "0-49999", "50000-99999", "20000-119999"} {
		b.do(b.request("GET /a HTTP/1.1\nHost: h.example\nRange: bytes=" + r))
		b.p.fetch.Wait()
	}
	if len(o.asked) != 3 {
		t.Errorf("the origin was asked for %v, want the first three", o.asked)
	}
}
