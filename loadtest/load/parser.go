package load

import "bytes"

// parseState is where in an answer the parser is.
type parseState uint8

const (
	inHeader    parseState = iota
	inLength               // in a body whose length is known
	inClose                // in a body that ends with the connection
	inChunkSize            // in the line with the size of a chunk
	inChunk                // in the content of a chunk
	inChunkEnd             // in the CRLF after a chunk
	inTrailer              // in the lines after the last chunk
	atEnd                  // the answer is whole
)

func (s parseState) String() string {
	switch s {
	case inHeader:
		return "header"
	case inLength, inClose, inChunk:
		return "body"
	case inChunkSize, inChunkEnd:
		return "chunk"
	case inTrailer:
		return "trailer"
	case atEnd:
		return "end"
	}
	return "unknown"
}

// parser reads one answer after the other from whatever pieces of it arrive. It copies nothing but a header that arrives in
// more than one piece.
type parser struct {
	state  parseState
	noBody bool // the request was HEAD
	left   int64
	answer answer
	held   []byte // the beginning of a header or of a line that has not ended yet
	lines  int    // bytes of trailer so far
	inter  int    // interim answers so far
}

// maxInterim bounds the interim answers before a final one. A proxy sends one or two; without a bound a target that sends nothing
// else would make progress for ever.
const maxInterim = 64

// reset makes it ready for the next answer. noBody: the request was HEAD.
func (p *parser) reset(noBody bool) {
	p.state, p.noBody, p.left, p.lines, p.inter = inHeader, noBody, 0, 0, 0
	p.held = p.held[:0]
}

// next consumes the beginning of b, of which n bytes are done with then. body is a piece of the body, a part of b, and empty
// when what was consumed was something else. It is to be called again while it consumes anything and the state is not atEnd. headed is true
// in the call after which the answer's header is known.
func (p *parser) next(b []byte) (n int, body []byte, headed bool, err error) {
	switch p.state {
	case inHeader:
		n, headed, err = p.header(b)
		return n, nil, headed, err
	case inLength, inChunk:
		n = int(min(int64(len(b)), p.left))
		p.left -= int64(n)
		if p.left == 0 {
			p.state = atEnd
			if p.answer.chunked {
				p.state = inChunkEnd
			}
		}
		return n, b[:n], false, nil
	case inClose:
		return len(b), b, false, nil
	case inChunkSize, inChunkEnd, inTrailer:
		n, err = p.line(b)
		return n, nil, false, err
	}
	return 0, nil, false, nil
}

// ended tells the parser that no more bytes will come. It is true when that completes the answer.
func (p *parser) ended() bool {
	if p.state == inClose {
		p.state = atEnd
	}
	return p.state == atEnd
}

// begun tells whether any byte of an answer has been seen.
func (p *parser) begun() bool { return p.state != inHeader || len(p.held) > 0 }

var endOfHeader = []byte("\r\n\r\n")

func (p *parser) header(b []byte) (n int, headed bool, err error) {
	head := b
	if len(p.held) > 0 {
		// The end may lie across the seam, so it is looked for from three bytes before.
		before := len(p.held)
		p.held = append(p.held, b[:min(len(b), maxHeader+1)]...)
		from := max(before-3, 0)
		i := bytes.Index(p.held[from:], endOfHeader)
		if i < 0 {
			return p.holdHeader(len(b))
		}
		end := from + i + len(endOfHeader)
		head, n = p.held[:end], end-before
	} else {
		i := bytes.Index(b, endOfHeader)
		if i < 0 {
			p.held = append(p.held, b[:min(len(b), maxHeader+1)]...)
			return p.holdHeader(len(b))
		}
		n = i + len(endOfHeader)
		head = b[:n]
	}
	if len(head) > maxHeader {
		return n, false, malformed("a header of more than %d bytes", maxHeader)
	}
	err = p.answer.parseHeader(head)
	p.held = p.held[:0]
	if err != nil {
		return n, false, err
	}
	if p.answer.status < 200 {
		if p.answer.status == 101 {
			return n, false, malformed("status 101, which nobody asked for")
		}
		if p.inter++; p.inter > maxInterim {
			return n, false, malformed("more than %d interim answers, the last with status %d", maxInterim, p.answer.status)
		}
		return n, false, nil // an interim answer; the final one follows
	}
	p.begin()
	return n, true, nil
}

// holdHeader keeps what has arrived, unless it can no longer become a header.
func (p *parser) holdHeader(n int) (int, bool, error) {
	const proto = "HTTP/1."
	if l := min(len(p.held), len(proto)); string(p.held[:l]) != proto[:l] {
		return n, false, malformed("it begins with %q", clip(p.held))
	}
	if len(p.held) > maxHeader {
		return n, false, malformed("a header of more than %d bytes", maxHeader)
	}
	return n, false, nil
}

// begin chooses how the body is framed (RFC 9112 section 6.3).
func (p *parser) begin() {
	a := &p.answer
	switch {
	case p.noBody || a.status == 204 || a.status == 304:
		p.state = atEnd
	case a.chunked:
		p.state = inChunkSize
	case a.length > 0:
		p.state, p.left = inLength, a.length
	case a.length == 0:
		p.state = atEnd
	default:
		p.state, a.close = inClose, true
	}
}

// maxLine bounds the line with a chunk's size, which may have extensions, and a line of a trailer.
const maxLine = 4 << 10

// line reads one line of the chunked coding (RFC 9112 section 7.1).
func (p *parser) line(b []byte) (n int, err error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		p.held = append(p.held, b...)
		if len(p.held) > maxLine {
			return len(b), malformed("a line of more than %d bytes in the %s", maxLine, p.state)
		}
		return len(b), nil
	}
	n = i + 1
	text := b[:n]
	if len(p.held) > 0 {
		p.held = append(p.held, text...)
		text = p.held
	}
	line, _, ok := cutLine(text)
	if !ok || len(line) > maxLine {
		return n, malformed("the line %q in the %s", clip(text), p.state)
	}
	err = p.lineDone(line)
	p.held = p.held[:0]
	return n, err
}

func (p *parser) lineDone(line []byte) error {
	switch p.state {
	case inChunkEnd:
		if len(line) > 0 {
			return malformed("%q after a chunk, where it should end", clip(line))
		}
		p.state = inChunkSize
	case inChunkSize:
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, ok := parseHex(trim(digits))
		if !ok {
			return malformed("the size of a chunk is %q", clip(line))
		}
		p.state, p.left = inChunk, size
		if size == 0 {
			p.state = inTrailer
		}
	case inTrailer:
		p.lines += len(line)
		if p.lines > maxHeader {
			return malformed("a trailer of more than %d bytes", maxHeader)
		}
		if len(line) == 0 {
			p.state = atEnd
		}
	}
	return nil
}
