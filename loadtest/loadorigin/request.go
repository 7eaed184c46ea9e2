package loadorigin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// request is what the origin reads of one. Strings and slices are good until the next one is read.
type request struct {
	method    string
	target    string
	close     bool
	ranges    string // of Range
	ifRange   string
	noneMatch string
	since     string // of If-Modified-Since
	length    int64  // of the body
	body      []byte // only to the paths that steer
}

// maxBody bounds what is read of a request's body.
const maxBody = 1 << 20

var (
	errBadRequest = errors.New("bad request")
	errLargeBody  = errors.New("the request's body is too large")
)

// readRequest reads one request, its body included. The reader's buffer bounds the header.
func readRequest(br *bufio.Reader, r *request) error {
	*r = request{}
	line, err := readLine(br)
	if err != nil {
		return err
	}
	method, rest, ok := strings.Cut(string(line), " ")
	target, proto, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || method == "" || target == "" || (proto != "HTTP/1.1" && proto != "HTTP/1.0") {
		return fmt.Errorf("%w: %q", errBadRequest, line)
	}
	r.method, r.target, r.close = method, target, proto == "HTTP/1.0"
	if after, ok := strings.CutPrefix(target, "http://"); ok { // the absolute form, as proxies may send it
		i := strings.IndexByte(after, '/')
		r.target = "/"
		if i >= 0 {
			r.target = after[i:]
		}
	}
	for {
		line, err := readLine(br)
		if err != nil {
			return unexpected(err)
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return fmt.Errorf("%w: header line %q", errBadRequest, line)
		}
		if err := r.field(name, bytes.Trim(value, " \t")); err != nil {
			return err
		}
	}
	return r.readBody(br)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readLine returns a line without its end; it is good until the next read.
func readLine(br *bufio.Reader) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if err != nil {
		if len(line) > 0 {
			return nil, unexpected(err)
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func (r *request) field(name, value []byte) error {
	switch len(name) {
	case len("Range"):
		if bytes.EqualFold(name, []byte("Range")) {
			r.ranges = string(value)
		}
	case len("If-Range"):
		if bytes.EqualFold(name, []byte("If-Range")) {
			r.ifRange = string(value)
		}
	case len("Connection"):
		if bytes.EqualFold(name, []byte("Connection")) && bytes.EqualFold(value, []byte("close")) {
			r.close = true
		}
	case len("If-None-Match"):
		if bytes.EqualFold(name, []byte("If-None-Match")) {
			r.noneMatch = string(value)
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			n, err := strconv.ParseUint(string(value), 10, 62)
			if err != nil {
				return fmt.Errorf("%w: Content-Length %q", errBadRequest, value)
			}
			r.length = int64(n)
		}
	case len("If-Modified-Since"): // and Transfer-Encoding
		if bytes.EqualFold(name, []byte("If-Modified-Since")) {
			r.since = string(value)
		} else if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			return fmt.Errorf("%w: a request body in chunks", errBadRequest)
		}
	}
	return nil
}

func (r *request) readBody(br *bufio.Reader) error {
	if r.length == 0 {
		return nil
	}
	if r.length > maxBody {
		return errLargeBody
	}
	r.body = make([]byte, r.length)
	_, err := io.ReadFull(br, r.body)
	return unexpected(err)
}

// cutRange reads a Range with one part for a body of this size. none: there is no such field, or it is to be ignored
// (RFC 9110 section 14.2 lets a server ignore any); ok is false when the range lies outside.
func cutRange(field string, size int64) (from, length int64, none, ok bool) {
	spec, found := strings.CutPrefix(field, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !found || !dash || strings.Contains(spec, ",") {
		return 0, 0, true, true
	}
	a, err1 := strconv.ParseInt(first, 10, 64)
	b, err2 := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && err2 == nil && b > 0:
		n := min(b, size)
		return size - n, n, false, size > 0
	case err1 != nil || a < 0 || (last != "" && (err2 != nil || b < a)):
		return 0, 0, true, true
	case a >= size:
		return 0, 0, false, false
	case last == "":
		b = size - 1
	}
	return a, min(b, size-1) - a + 1, false, true
}
