package origin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// errReleased is read from a body that was taken back.
var errReleased = errors.New("request body was released")

// keepLimit bounds the bodies that are kept while they are sent, in bytes.
const keepLimit = 64 << 10

// upload is a request body on its way. What sends it reads it in a goroutine of its
// own, which may outlive the attempt and even the response; upload makes sure
// that the caller's reader is not touched once release has returned.
//
// Whoever ends an attempt closes the caller's body to end the Read that is in
// progress, and cannot hold mu for that: the Read holds it. The losing interleaving
// without more: A sees that a Read is in progress; the Read ends by itself; release
// finds none and returns; A closes a body that is somebody else's by now. So to see
// the Read and to announce the Close is one step, under ending, and a Read does not
// return before a Close that was announced while it lasted.
type upload struct {
	size   int64                // as declared; -1 when unknown
	seeker io.Seeker            // not nil when the body may be sent again
	start  int64                // where seeker stood at first
	closer io.Closer            // not nil when a Read in progress can be ended
	latest atomic.Pointer[part] // the attempt that may read
	keep   bool                 // what is read goes to kept, so that it may be sent again

	mu      sync.Mutex // protects the fields below; held during a Read of src
	src     io.Reader  // nil once released
	touched bool       // something was read
	kept    []byte     // the body so far, with keep
	failed  error      // what reading src failed with

	// ending protects the fields below; it may be taken under mu, and is not held
	// while src or closer is used.
	ending  sync.Mutex
	reading *part          // the attempt that reads src now
	closed  bool           // closer is used, or was: src will give no more
	closing sync.WaitGroup // the use of closer, added to while reading is set
}

// newUpload returns nil for a request without a body, on which every method may
// be called.
func newUpload(r *Request, method string) (*upload, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	u := &upload{size: r.ContentLength, src: r.Body}
	if !r.Replayable {
		u.closer, _ = r.Body.(io.Closer)
		u.keep = r.ContentLength > 0 && r.ContentLength <= keepLimit && idempotent(method)
		return u, nil
	}
	s, ok := r.Body.(io.Seeker)
	if !ok {
		return nil, errors.New("the body is said to be replayable but cannot seek")
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("cannot find the start of the body: %w", err)
	}
	u.seeker, u.start = s, at
	return u, nil
}

// part begins a new attempt to send the body; what the attempts before it still
// read fails from here on.
func (u *upload) part(w *pace) (*part, error) {
	if u == nil {
		return nil, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.touched && u.seeker != nil {
		if _, err := u.seeker.Seek(u.start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("cannot rewind the body: %w", err)
		}
	}
	p := &part{up: u, pace: w}
	u.latest.Store(p)
	return p, nil
}

// sendable reports whether another attempt can send the whole body.
func (u *upload) sendable() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ending.Lock()
	defer u.ending.Unlock()
	return u.failed == nil && !u.closed && (!u.touched || u.replayable())
}

// replayable reports whether what was read can be read again.
func (u *upload) replayable() bool { return u == nil || u.seeker != nil || u.keep }

// atHand reports whether reading the body does not block.
func (u *upload) atHand() bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seeker != nil || u.keep && int64(len(u.kept)) == u.size
}

// err is what reading the caller's body failed with, or nil.
func (u *upload) err() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failed
}

// release takes the body back. It ends the Read in progress where the body can
// be closed, and waits for it, and so for a Close under way.
func (u *upload) release() {
	if u == nil {
		return
	}
	if p := u.latest.Load(); p != nil {
		p.abandon()
	}
	u.mu.Lock()
	u.src, u.kept = nil, nil
	u.mu.Unlock()
}

// part is the body as one attempt sends it.
type part struct {
	up        *upload
	pace      *pace       // nil but with HTTP/2
	abandoned atomic.Bool // set under up.ending
	n         int64       // bytes handed out; under up.mu
}

// Read hands out no more than the declared size, and fails when the body is
// shorter: a cut upload must not look whole to the origin.
func (p *part) Read(b []byte) (int, error) {
	u := p.up
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.src == nil || u.latest.Load() != p || p.abandoned.Load() {
		return 0, errReleased
	}
	if u.size >= 0 {
		if rest := u.size - p.n; rest == 0 {
			return 0, io.EOF
		} else if int64(len(b)) > rest {
			b = b[:rest]
		}
	}
	if p.n < int64(len(u.kept)) {
		n := copy(b, u.kept[p.n:])
		p.n += int64(n)
		p.pace.hold()
		p.pace.sent(p.n == u.size)
		return n, nil
	}
	if !p.begin() {
		return 0, errReleased
	}
	p.pace.hold()
	n, err := u.src.Read(b)
	p.end()
	p.n += int64(n)
	u.touched = u.touched || n > 0
	if u.keep {
		u.kept = append(u.kept, b[:n]...)
	}
	if err == io.EOF && u.size >= 0 && p.n < u.size {
		err = fmt.Errorf("request body ends after %d of %d bytes: %w", p.n, u.size, io.ErrUnexpectedEOF)
	}
	switch {
	case err == nil || err == io.EOF:
	case p.abandoned.Load():
		err = errReleased // it was us who ended the Read
	default:
		u.failed = err
	}
	p.pace.sent(err == io.EOF || p.n == u.size)
	return n, err
}

// Close belongs to what sends the body: it will read no more.
func (p *part) Close() error {
	p.abandon()
	return nil
}

// begin precedes a Read of the caller's body. It reports false when nobody would end
// that Read, since whoever could has been here.
func (p *part) begin() bool {
	u := p.up
	u.ending.Lock()
	defer u.ending.Unlock()
	if p.abandoned.Load() {
		return false
	}
	u.reading = p
	return true
}

// end follows that Read: no Close begins any more, and one that has is waited for.
func (p *part) end() {
	u := p.up
	u.ending.Lock()
	u.reading = nil
	u.ending.Unlock()
	u.closing.Wait()
}

// abandon makes later reads fail and ends the one in progress, if it can be.
func (p *part) abandon() {
	if p != nil && p.toClose() {
		defer p.up.closing.Done()
		_ = p.up.closer.Close()
	}
}

// toClose marks the part as abandoned. It tells whether a Read is to be ended; then
// that Read waits for closing.Done.
func (p *part) toClose() bool {
	u := p.up
	u.ending.Lock()
	defer u.ending.Unlock()
	p.abandoned.Store(true)
	if u.reading != p || u.closer == nil || u.closed {
		return false
	}
	u.closed = true
	u.closing.Add(1)
	return true
}

// idempotent is RFC 9110, section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
