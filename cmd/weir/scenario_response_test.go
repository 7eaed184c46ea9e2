package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"weir/loadtest/selfcheck"
)

// keepBody is how much of a body is kept; longer ones are checked as they
// arrive, against the content of the target in version 0.
const keepBody = 4 << 20

// response is one response, interim ones too, while it arrives. Its fields are
// protected by the client's lock.
type response struct {
	head   string // verbatim, with the empty line
	status int
	header http.Header
	length int64 // what Content-Length says, -1 when there is none

	got   int64
	kept  []byte
	check *selfcheck.Verifier
	off   int64 // where a partial body begins
	ended bool
	err   error // nil: complete
}

// over tells whether this is a final response that has ended.
func (r *response) over() bool { return r.ended && r.status >= 200 }

// read takes responses off the connection until it ends.
func (c *client) read() {
	in := bufio.NewReaderSize(c.conn, 2<<20)
	var err error
	for err == nil {
		err = c.readOne(in)
	}
	c.change(func() { c.ended, c.err = true, err })
}

// readOne reads one response. The error is io.EOF when the connection ended in
// good order between two responses.
func (c *client) readOne(in *bufio.Reader) error {
	head, err := peekHead(in)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, &http.Request{Method: c.method})
	if err != nil {
		return fmt.Errorf("malformed response %q: %w", head, err)
	}
	r := &response{head: head, status: resp.StatusCode, header: resp.Header, length: resp.ContentLength}
	if v := resp.Header.Get("Content-Range"); resp.StatusCode == http.StatusPartialContent {
		start, _, _ := strings.Cut(strings.TrimPrefix(v, "bytes "), "-")
		r.off, _ = strconv.ParseInt(start, 10, 64)
	}
	r.check = selfcheck.NewVerifier(selfcheck.SeedOf(c.name, 0), r.off, 1<<62)
	c.change(func() { c.responses = append(c.responses, r) })
	if r.status < 200 {
		c.change(func() { r.ended = true })
		return nil
	}
	err = c.readBody(r, resp.Body)
	c.change(func() { r.ended, r.err = true, err })
	if err == nil && resp.Close {
		// Whatever follows is surplus, and of interest.
		if rest, err := io.ReadAll(io.LimitReader(in, 1<<10)); len(rest) > 0 || err != nil {
			return fmt.Errorf("after a response that closes the connection: %q, %w", rest, err)
		}
		return io.EOF
	}
	return err
}

func (c *client) readBody(r *response, body io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		c.mu.Lock()
		got := r.got
		c.mu.Unlock()
		room := buf
		if c.pause >= 0 {
			if got >= c.pause {
				select {
				case <-c.resumed:
				case <-c.gone:
					return net.ErrClosed
				}
			} else {
				room = buf[:min(int64(len(buf)), c.pause-got)]
			}
		}
		n, err := body.Read(room)
		c.change(func() {
			r.got += int64(n)
			if len(r.kept) < keepBody {
				r.kept = append(r.kept, room[:n]...)
			}
			_, _ = r.check.Write(room[:n]) // the first fault is kept
		})
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// peekHead returns the head of the next response without consuming it.
func peekHead(in *bufio.Reader) (string, error) {
	for n := 1; ; n = in.Buffered() + 1 {
		_, err := in.Peek(n) // waits for one byte more than there was
		p, _ := in.Peek(in.Buffered())
		if i := bytes.Index(p, []byte("\r\n\r\n")); i >= 0 {
			return string(p[:i+4]), nil
		}
		if err != nil {
			if err == io.EOF && len(p) > 0 {
				err = io.ErrUnexpectedEOF
			}
			if len(p) > 0 {
				return "", fmt.Errorf("the connection ended in a head, after %q: %w", p, err)
			}
			return "", err
		}
	}
}

// String describes the connection for whoever looks for a fault.
func (c *client) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.describe()
}

func (c *client) describe() string {
	var b strings.Builder
	if c.sent > 0 || c.sendErr != nil {
		fmt.Fprintf(&b, "sent %d bytes of a body, all: %v, error: %v\n", c.sent, c.sentAll, c.sendErr)
	}
	for i, r := range c.responses {
		fmt.Fprintf(&b, "response %d: %s%d bytes of body, ended: %v, error: %v\n", i+1, r.head, r.got, r.ended, r.err)
		if len(r.kept) > 0 {
			fmt.Fprintf(&b, "it begins: %q\n", r.kept[:min(len(r.kept), 60)])
		}
	}
	fmt.Fprintf(&b, "connection ended: %v, error: %v\n", c.ended, c.err)
	return b.String()
}

// bodyFault is what is wrong with a whole body that should be the bytes from
// off on of name's content in that version.
func (r *response) bodyFault(name, target string, version uint64, off, size int64) error {
	switch {
	case !r.ended:
		return errors.New("it has not ended")
	case r.err != nil:
		return fmt.Errorf("it broke off: %w", r.err)
	case r.got != size:
		return fmt.Errorf("%d bytes, want %d", r.got, size)
	}
	if r.got <= int64(len(r.kept)) {
		if i := selfcheck.Mismatch(r.kept, selfcheck.SeedOf(name, version), off); i >= 0 {
			return fmt.Errorf("byte %d is wrong", i)
		}
		return nil
	}
	if name != target || version != 0 || off != r.off {
		return fmt.Errorf("a body above %d bytes is checked as the target's, version 0, from where Content-Range says", keepBody)
	}
	var fault *selfcheck.Error
	if err := r.check.Finish(); errors.As(err, &fault) && fault.Fault == selfcheck.FaultByte {
		return err
	}
	return nil
}
