package selfcheck

import (
	"errors"
	"fmt"
	"io"
)

// Fault is how a body differs from what it should be.
type Fault uint8

const (
	// FaultByte is a byte that is not the right one.
	FaultByte Fault = iota
	// FaultShort is a body that ended too early.
	FaultShort
	// FaultLong is a body with bytes beyond its end.
	FaultLong
)

func (f Fault) String() string {
	switch f {
	case FaultByte:
		return "wrong byte"
	case FaultShort:
		return "too short"
	case FaultLong:
		return "too long"
	}
	return "unknown"
}

// Error names the first place where a body is wrong.
type Error struct {
	Fault  Fault
	Offset int64 // of the first wrong, missing or surplus byte, counted from the start of the whole body
	Size   int64 // where the checked part should end
	Got    byte  // only for FaultByte
	Want   byte  // only for FaultByte
}

func (e *Error) Error() string {
	switch e.Fault {
	case FaultShort:
		return fmt.Sprintf("body ends at offset %d, should end at %d", e.Offset, e.Size)
	case FaultLong:
		return fmt.Sprintf("body goes on at offset %d, where it should end", e.Offset)
	}
	return fmt.Sprintf("body has byte %#02x at offset %d, should be %#02x", e.Got, e.Offset, e.Want)
}

// Verifier is an io.Writer that checks what is written to it. It stops looking after the first fault and keeps that.
// It must not be used by two goroutines at once.
type Verifier struct {
	seed Seed
	off  int64
	end  int64
	err  *Error
}

// NewVerifier checks the bytes [off, off+n) of s; a whole body starts at 0.
func NewVerifier(s Seed, off, n int64) *Verifier {
	return &Verifier{seed: s, off: off, end: off + n}
}

// Write checks the next bytes and does not keep p. The error is the first fault, an *Error.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	in := p
	if rest := v.end - v.off; int64(len(in)) > rest {
		in = in[:rest]
	}
	if i := Mismatch(in, v.seed, v.off); i >= 0 {
		at := v.off + int64(i)
		var want [1]byte
		Fill(want[:], v.seed, at)
		v.err = &Error{Fault: FaultByte, Offset: at, Size: v.end, Got: in[i], Want: want[0]}
		v.off = at
		return i, v.err
	}
	v.off += int64(len(in))
	if len(in) < len(p) {
		v.err = &Error{Fault: FaultLong, Offset: v.end, Size: v.end}
		return len(in), v.err
	}
	return len(p), nil
}

// Finish is called once the body has ended. It returns the first fault, a body that is too short included.
func (v *Verifier) Finish() error {
	if v.err == nil && v.off < v.end {
		v.err = &Error{Fault: FaultShort, Offset: v.off, Size: v.end}
	}
	if v.err != nil {
		return v.err
	}
	return nil
}

// Verify reads r to its end and checks that it is the bytes [off, off+n) of s. buf is scratch space that the caller
// keeps (nil: one is made). n counts what was read. A body fault is an *Error; any other error is the reader's.
func Verify(r io.Reader, s Seed, off, n int64, buf []byte) (read int64, err error) {
	if len(buf) == 0 {
		buf = make([]byte, 64<<10)
	}
	v := NewVerifier(s, off, n)
	for {
		m, rerr := r.Read(buf)
		read += int64(m)
		if _, err := v.Write(buf[:m]); err != nil {
			return read, err
		}
		if errors.Is(rerr, io.EOF) {
			return read, v.Finish()
		}
		if rerr != nil {
			return read, fmt.Errorf("cannot read body at offset %d: %w", off+read, rerr)
		}
	}
}
