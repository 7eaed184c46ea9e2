package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"weir/loadtest/selfcheck"
	"weir/origin"
	"weir/policy"
	"weir/tiers"
	"weir/tiers/disk"
)

// checkedOrigin answers /SIZE/NUMBER with as many bytes, which follow from the path.
type checkedOrigin struct{}

func (checkedOrigin) Do(_ context.Context, r *origin.Request) (*origin.Response, error) {
	var size, number int
	if _, err := fmt.Sscanf(r.Target, "/%d/%d", &size, &number); err != nil {
		return nil, err
	}
	return &origin.Response{
		Status: 200, Fields: policy.Fields{{Name: "Cache-Control", Value: "max-age=3600"}, {Name: "Etag", Value: `"1"`}},
		ContentLength: int64(size), Body: io.NopCloser(bytes.NewReader(selfcheck.Bytes(selfcheck.SeedOf(r.Target, 1), 0, size))),
	}, nil
}

// TestLentBodies: bodies that are read from disk into lent memory go out over TCP as they were stored, whole and in
// ranges, one after the other and in pipelines, while other clients leave in the middle of theirs.
func TestLentBodies(t *testing.T) {
	b := newBenchOver(t, Options{}, tiers.Options{
		RAMSize: 64 << 20, RAMMaxObject: 1 << 10, Disk: &disk.Options{Dir: t.TempDir(), Size: 256 << 20}, DiskMaxObject: 64 << 20,
	}, checkedOrigin{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.serve(ln)

	// On both sides of the write buffer, of the buffers' classes and of what is read in one piece.
	sizes := []int{1<<10 + 1, 3 << 10, 4 << 10, 10 << 10, 64 << 10, 100 << 10, 128 << 10, 600 << 10}
	var paths []string
	for _, size := range sizes {
		for i := range 4 {
			paths = append(paths, fmt.Sprintf("/%d/%d", size, i))
		}
	}
	for _, path := range paths {
		b.do(b.request("GET " + path + " HTTP/1.1\nHost: h.example"))
	}
	b.p.fetch.Wait()

	const clients, rounds, pipeline = 8, 40, 4
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(client), 1))
			c, err := dialSmall(ln)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { c.Close() }()
			r := bufio.NewReader(c)
			for range rounds {
				var asked []lentRequest
				var sent strings.Builder
				for range 1 + rnd.IntN(pipeline) {
					q := newLentRequest(rnd, paths[rnd.IntN(len(paths))])
					asked = append(asked, q)
					sent.WriteString(q.String())
				}
				if _, err := io.WriteString(c, sent.String()); err != nil {
					t.Error(err)
					return
				}
				if rnd.IntN(8) == 0 {
					// Somebody who has read a part of it at most, and goes.
					_, _ = c.Read(make([]byte, 1+rnd.IntN(4<<10)))
					c.Close()
					if c, err = dialSmall(ln); err != nil {
						t.Error(err)
						return
					}
					r.Reset(c)
					continue
				}
				for _, q := range asked {
					if err := q.check(r); err != nil {
						t.Errorf("%s: %v", strings.ReplaceAll(q.String(), "\r\n", " "), err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// dialSmall returns a connection that takes so little at once that whoever writes to it must wait, and others borrow
// meanwhile.
func dialSmall(ln net.Listener) (net.Conn, error) {
	c, err := net.Dial("tcp", ln.Addr().String())
	if err == nil {
		err = c.(*net.TCPConn).SetReadBuffer(32 << 10)
	}
	return c, err
}

// lentRequest is a request for a body, or for n bytes of it from off.
type lentRequest struct {
	method, path string
	off, n, size int64
	ranged       bool
}

func newLentRequest(rnd *rand.Rand, path string) lentRequest {
	var number int64
	q := lentRequest{method: "GET", path: path}
	if _, err := fmt.Sscanf(path, "/%d/%d", &q.size, &number); err != nil {
		panic(err)
	}
	q.n = q.size
	switch rnd.IntN(6) {
	case 0:
		q.method, q.n = "HEAD", 0
	case 1, 2:
		q.ranged = true
		q.off = rnd.Int64N(q.size)
		q.n = 1 + rnd.Int64N(q.size-q.off)
	}
	return q
}

// String is the request as it is sent.
func (q lentRequest) String() string {
	s := q.method + " " + q.path + " HTTP/1.1\r\nHost: h.example\r\n"
	if q.ranged {
		s += fmt.Sprintf("Range: bytes=%d-%d\r\n", q.off, q.off+q.n-1)
	}
	return s + "\r\n"
}

// check reads the answer.
func (q lentRequest) check(r *bufio.Reader) error {
	resp, err := http.ReadResponse(r, &http.Request{Method: q.method})
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", len(body), err)
	}
	status := http.StatusOK
	if q.ranged {
		status = http.StatusPartialContent
	}
	if resp.StatusCode != status || int64(len(body)) != q.n || !strings.Contains(resp.Header.Get("Cache-Status"), "hit") {
		return fmt.Errorf("%s with %d bytes, Cache-Status: %s", resp.Status, len(body), resp.Header.Get("Cache-Status"))
	}
	if i := selfcheck.Mismatch(body, selfcheck.SeedOf(q.path, 1), q.off); i >= 0 {
		return fmt.Errorf("byte %d of %d is wrong", i, len(body))
	}
	return nil
}
