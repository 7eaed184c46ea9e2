package front

import "bytes"

// inbound divides what a client sends into requests before fasthttp sees any of it.
// A read ends where a head or a body ends, so fasthttp never holds a byte of the next
// request, and what it would read in another way than the parsers before and behind
// it never reaches it (see head and chunkFilter).
type inbound struct {
	section section
	head    head
	// partial is the beginning of a line of the head.
	partial []byte
	// first is the beginning of the last request line, with its CR where it is short.
	first []byte
	// announced is the length of the last request's body; -1 is chunked.
	announced int64
	left      int64  // bytes of a body with a length to come
	tail      string // is handed on next
	fault     *Fault // ends everything

	// ahead, from off on, was read beyond the end of a head or a body.
	ahead []byte
	off   int

	chunks chunkFilter
}

// section is what the next byte belongs to.
type section uint8

const (
	sectionHead section = iota
	sectionBody
	sectionChunks
)

// maxFirst bounds what is kept of a request line, in bytes.
const maxFirst = 128

// keepAhead bounds the memory that is kept for the next pipelined requests, in bytes.
const keepAhead = 4 << 10

// room is the part of p that may be read into.
func (in *inbound) room(p []byte) []byte {
	if in.section == sectionBody && int64(len(p)) > in.left {
		return p[:in.left]
	}
	return p
}

// stored hands out what was read ahead.
func (in *inbound) stored(p []byte) int {
	n := copy(p, in.ahead[in.off:])
	in.off += n
	return n
}

// hasAhead reports whether bytes behind the last head or body were read already.
func (in *inbound) hasAhead() bool { return len(in.ahead) > in.off }

// giveBack takes back the end of what stored handed out or, with fresh, of what came
// from the connection.
func (in *inbound) giveBack(b []byte, fresh bool) {
	switch {
	case !fresh:
		in.off -= len(b)
	case len(b) == 0:
		return // and nothing was ahead
	default:
		in.ahead, in.off = append(in.ahead[:0], b...), 0
	}
	if in.off == len(in.ahead) {
		in.ahead, in.off = in.ahead[:0], 0
		if cap(in.ahead) > keepAhead {
			in.ahead = nil
		}
	}
}

// take judges what was read into b, and returns how much of b is handed on; fresh
// says that it came from the connection.
func (in *inbound) take(b []byte, fresh bool) int {
	n, used := len(b), len(b)
	switch in.section {
	case sectionHead:
		n, used = in.takeHead(b)
	case sectionBody:
		if in.left -= int64(n); in.left == 0 {
			in.section = sectionHead
		}
	case sectionChunks:
		var text string
		if n, used, text = in.chunks.feed(b); text != "" {
			in.fault = bad(text)
		}
		if in.chunks.state == chunkDone {
			in.section, in.tail = sectionHead, lastChunk
		}
	}
	in.giveBack(b[used:], fresh)
	return n
}

// takeHead is take for a head: the first n bytes of b are handed on, the first used
// ones were looked at.
func (in *inbound) takeHead(b []byte) (n, used int) {
	dropped := 0
	for {
		end := bytes.IndexByte(b[used:], '\n')
		if end < 0 {
			in.partial = append(in.partial, b[used:]...)
			if !in.head.begun && len(in.partial) == 1 && in.partial[0] == '\r' {
				// The beginning of an empty line, which is not handed on.
				return 0, len(b)
			}
			return shift(b, dropped), len(b)
		}
		line := b[used : used+end]
		if len(in.partial) > 0 {
			in.partial = append(in.partial, line...)
			line = in.partial
		}
		used += end + 1
		begun := in.head.begun
		last, f := in.head.line(line)
		if !begun {
			in.first = append(in.first[:0], line[:min(len(line), maxFirst)]...)
		}
		in.partial = in.partial[:0]
		switch {
		case f != nil:
			in.fault = f
			return 0, used
		case !in.head.begun:
			dropped = used
		case last:
			in.endHead()
			return shift(b[:used], dropped), used
		}
	}
}

// shift moves b to the left by n bytes and returns how many are left.
func shift(b []byte, n int) int {
	if n == 0 {
		return len(b)
	}
	return copy(b, b[n:])
}

// endHead goes on to what follows the head.
func (in *inbound) endHead() {
	in.announced = in.head.body()
	switch {
	case in.announced < 0:
		in.section, in.chunks = sectionChunks, chunkFilter{}
	case in.announced > 0:
		in.section, in.left = sectionBody, in.announced
	}
	in.head = head{}
	if cap(in.partial) > keepAhead {
		in.partial = nil
	}
}

// whole reports whether the last request has come to its end.
func (in *inbound) whole() bool { return in.section == sectionHead && in.fault == nil }

// inHead reports whether a head has begun and not ended.
func (in *inbound) inHead() bool {
	return in.section == sectionHead && (in.head.begun || len(in.partial) > 0)
}

// requestLine is what is known of the request line of the last request, cut.
func (in *inbound) requestLine() []byte {
	if in.section == sectionHead && !in.head.begun && len(in.partial) > 0 {
		return in.partial[:min(len(in.partial), maxFirst)]
	}
	return bytes.TrimRight(in.first, "\r")
}
