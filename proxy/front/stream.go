package front

import (
	"io"
	"net"
)

// outgoing is a Stream as fasthttp writes it after the handler has returned.
type outgoing struct {
	conn net.Conn
	src  Stream
	// direct: the pieces go to the connection itself.
	direct bool
	rest   []byte
	n      int64
	gone   bool
}

// Read implements io.Reader.
func (o *outgoing) Read(p []byte) (int, error) {
	if len(o.rest) == 0 {
		b, err := o.src.Next()
		if err != nil {
			return 0, err
		}
		o.rest = b
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	o.n += int64(n)
	return n, nil
}

// WriteTo implements io.WriterTo. A body of unknown length goes through w,
// where fasthttp makes each Write a chunk and sends it at once. One of known
// length goes straight to the connection: w would hold back up to a buffer of
// what has arrived until more does (see flushedFirst).
func (o *outgoing) WriteTo(w io.Writer) (total int64, err error) {
	if o.direct {
		w = o.conn
	}
	for {
		p, err := o.src.Next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(p)
		total += int64(n)
		o.n += int64(n)
		if err != nil {
			o.gone = true
			return total, err
		}
	}
}

// SupportsBodyWriteTo tells fasthttp that WriteTo may take Read's place.
func (o *outgoing) SupportsBodyWriteTo() bool { return true }

// Close ends the answer. Fasthttp calls it once, also when writing failed.
func (o *outgoing) Close() error {
	if src := o.src; src != nil {
		n, gone := o.n, o.gone
		*o = outgoing{}
		src.Done(n, gone)
	}
	return nil
}
