package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"

	"weir/policy"
)

// multipartSource sends several ranges of one object as multipart/byteranges
// (RFC 9110 section 14.6), one after the other. Their number is bounded and
// they do not overlap (policy.ParseRange), so this is never more than the
// object and the part headers.
type multipartSource struct {
	x      *exchange
	parts  []part
	closer []byte
	within bool // a part's bytes are being read
}

type part struct {
	head []byte
	r    policy.ByteRange
}

// sendMultipart answers with several ranges.
func (x *exchange) sendMultipart(ranges []policy.ByteRange) state {
	boundary := newBoundary()
	s := &multipartSource{x: x, closer: []byte("\r\n--" + boundary + "--\r\n")}
	contentType := x.obj.Fields.Joined("Content-Type")
	total := int64(len(s.closer))
	for i, r := range ranges {
		head := make([]byte, 0, 160)
		if i > 0 {
			head = append(head, "\r\n"...)
		}
		head = append(head, "--"...)
		head = append(head, boundary...)
		if len(contentType) > 0 {
			head = append(head, "\r\nContent-Type: "...)
			head = append(head, contentType...)
		}
		head = append(head, "\r\nContent-Range: "...)
		head = policy.AppendContentRange(head, r, x.obj.Length)
		head = append(head, "\r\n\r\n"...)
		s.parts = append(s.parts, part{head: head, r: r})
		total += int64(len(head)) + r.Len()
	}
	x.code, x.answer.Code = http.StatusPartialContent, http.StatusPartialContent
	x.answer.ContentType = []byte("multipart/byteranges; boundary=" + boundary)
	x.deliverFrom(0, x.obj.Length)
	return x.stream(s, total)
}

// newBoundary is random, so that no object can hold it on purpose.
func newBoundary() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// Next implements chunkSource.
func (s *multipartSource) Next() ([]byte, error) {
	if s.within {
		p, err := s.x.delivery.Next()
		if err != io.EOF {
			return p, err
		}
		s.within = false
	}
	if len(s.parts) == 0 {
		p := s.closer
		s.closer = nil
		if p == nil {
			return nil, io.EOF
		}
		return p, nil
	}
	next := s.parts[0]
	s.parts = s.parts[1:]
	s.x.delivery.Rewind(next.r.Start, next.r.Len())
	s.within = true
	return next.head, nil
}
