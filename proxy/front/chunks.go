package front

import "bytes"

// chunkFilter checks a chunked body (RFC 9112 section 7.1) while it arrives, and
// hands on what every reader of chunks understands alike: sizes, data and the last
// chunk. Extensions and trailers are taken out, since nothing here or at an origin
// may depend on them. The last chunk is handed on only when the trailer section is
// whole: a body that goes wrong in it has no end. The zero chunkFilter waits for the
// first chunk.
//
// Lines end in CRLF; a size is at most maxSizeDigits hexadecimal digits and nothing
// stands between it and ";" or CR; trailers are fields as in the head.
type chunkFilter struct {
	state   chunkState
	digits  int
	size    int64  // of the chunk whose size is being read
	left    int64  // bytes of data to come
	ext     int    // bytes of this chunk's extension
	exts    int    // bytes of all extensions
	trailer int    // bytes of the trailer section
	line    []byte // the line of the trailer section that is being read
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExt
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer
	chunkDone
)

// Bounds of a chunked body, in digits and bytes.
const (
	maxSizeDigits = 8 // a chunk below 4 GiB
	maxChunkExt   = 256
	maxChunkExts  = 4 << 10
	maxTrailer    = 8 << 10
)

// lastChunk ends a chunked body without trailers.
const lastChunk = "0\r\n\r\n"

// feed filters b in place. The first n bytes of b are to be handed on; used is how
// much of b belongs to the body, all of it while the body is not done. When it is
// done, lastChunk is to be handed on too. The text says what is wrong; what b held
// before may still be handed on.
func (f *chunkFilter) feed(b []byte) (n, used int, text string) {
	for used < len(b) && f.state != chunkDone {
		if f.state == chunkData {
			m := int(min(f.left, int64(len(b)-used)))
			n += copy(b[n:], b[used:used+m])
			used += m
			if f.left -= int64(m); f.left == 0 {
				f.state = chunkDataCR
			}
			continue
		}
		c := b[used]
		used++
		keep, text := f.next(c)
		if text != "" {
			return n, used, text
		}
		if keep {
			b[n] = c
			n++
		}
	}
	return n, used, ""
}

// next takes one byte that is not data and reports whether it is to be handed on.
func (f *chunkFilter) next(c byte) (keep bool, text string) {
	switch f.state {
	case chunkSize:
		return f.nextOfSize(c)
	case chunkExt:
		return f.nextOfExt(c)
	case chunkSizeLF:
		return f.endOfSize(c)
	case chunkDataCR:
		f.state = chunkDataLF
		return true, must(c == '\r', "a chunk is longer than its size says")
	case chunkDataLF:
		f.state, f.digits, f.size, f.ext = chunkSize, 0, 0, 0
		return true, must(c == '\n', "a chunk is longer than its size says")
	case chunkTrailer:
		return false, f.nextOfTrailer(c)
	case chunkData, chunkDone:
	}
	panic("BUG: a byte of a chunk in state data or done")
}

func must(holds bool, text string) string {
	if holds {
		return ""
	}
	return text
}

// nextOfSize takes a byte of a chunk's size. A zero is withheld: it may be that of
// the last chunk, and a reader does not miss it in front of another digit.
func (f *chunkFilter) nextOfSize(c byte) (keep bool, text string) {
	if v, ok := unhex(c); ok {
		if f.digits++; f.digits > maxSizeDigits {
			return false, "the size of a chunk has too many digits"
		}
		f.size = f.size<<4 | int64(v)
		return f.size > 0, ""
	}
	switch {
	case f.digits == 0:
		return false, "a chunk does not begin with its size"
	case c == '\r':
		f.state = chunkSizeLF
		return f.size > 0, ""
	case c == ';':
		f.state = chunkExt
		return false, ""
	}
	return false, "what follows the size of a chunk is neither an extension nor CRLF"
}

// nextOfExt takes a byte of a chunk's extension.
func (f *chunkFilter) nextOfExt(c byte) (keep bool, text string) {
	if c == '\r' {
		f.state = chunkSizeLF
		return f.size > 0, ""
	}
	if c < ' ' && c != '\t' || c == 0x7f {
		return false, "a chunk extension holds a control character"
	}
	f.ext++
	f.exts++
	return false, must(f.ext <= maxChunkExt && f.exts <= maxChunkExts, "chunk extensions are too long")
}

func (f *chunkFilter) endOfSize(c byte) (keep bool, text string) {
	if c != '\n' {
		return false, "the line with a chunk's size does not end in CRLF"
	}
	if f.left = f.size; f.size == 0 {
		f.state = chunkTrailer
		return false, ""
	}
	f.state = chunkData
	return true, ""
}

// nextOfTrailer takes a byte of the trailer section.
func (f *chunkFilter) nextOfTrailer(c byte) (text string) {
	if f.trailer++; f.trailer > maxTrailer {
		return "the trailer section is too long"
	}
	if c != '\n' {
		f.line = append(f.line, c)
		return ""
	}
	line, ok := bytes.CutSuffix(f.line, []byte("\r"))
	f.line = f.line[:0]
	switch {
	case !ok:
		return "a line of the trailer section ends in a bare LF"
	case len(line) == 0:
		f.state, f.line = chunkDone, nil
		return ""
	}
	name, _, text := splitField(line)
	if foldEqual(name, "transfer-encoding") || foldEqual(name, "content-length") || foldEqual(name, "host") {
		return "a trailer is about the framing"
	}
	return text
}

func unhex(c byte) (v byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
