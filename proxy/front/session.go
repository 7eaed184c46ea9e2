package front

import (
	"errors"
	"io"

	"weir/policy"
)

// Session is one request of a client, and the way of its answer. It belongs to the
// goroutine that handles it. The request, and all that is borrowed from it, is valid
// until Options.Handle returns or, where the answer streams, until Stream.Done is
// called. A session is used again for another request afterwards.
type Session interface {
	// Request returns what arrived.
	Request() *Request
	// Field returns the value of a field as it arrived, also of a request that is
	// refused. It is for the log.
	Field(name string) []byte
	// Body returns the request's body, of which at most limit bytes are read; 0 is
	// no bound. It is called once at most, and only where Request.HasBody is true.
	Body(limit int64) Body
	// Interims returns the way of interim responses to the client. Its End must be
	// called before Send.
	Interims() Interims
	// WhenGone has gone called, once, when the client leaves before it is answered;
	// a nil func revokes it. It is called by another goroutine, possibly some
	// moments after WhenGone(nil) has returned.
	WhenGone(gone func())
	// Cut ends the connection, in the middle of the answer that is being sent. It does
	// not block, and may be called by any goroutine, but not behind Stream.Done.
	Cut()
	// Prepare returns a header that can be sent with any number of answers, by any
	// session of the same kind. It keeps none of the fields' memory.
	Prepare(code int, fields policy.Fields) *Header
	// Send answers the request. It keeps a.Body, a.Release and a.Stream and nothing
	// else of a. A second call, before the handler has returned, replaces the first:
	// that is for a handler that has panicked.
	Send(a *Answer)
}

// Request is a request's head as it arrived.
type Request struct {
	// Method and Target are those of the request line. Where there was no head that
	// could be read, Method is "-", and Target what came in place of a request line.
	Method, Target []byte
	// Section holds the field lines, each with its CRLF. It is the form in which
	// every kind of session hands fields on, so that one scanner reads them.
	Section []byte
	// Version is that of HTTP as Via names it: "1.1".
	Version string
	// Length is that of the body as it was announced: 0 without one, -1 where it
	// is not known before its end.
	Length int64
	// Sender is who sends on the connection, without its Proxies.
	Sender policy.Sender
	// Shard is a number that requests of one connection share.
	Shard uint32
	// Fault is why what arrived is no request; nil if it is one.
	Fault *Fault
}

// HasBody reports whether the request announces a body.
func (r *Request) HasBody() bool { return r.Length != 0 }

// Fault is why what a client sent is no request. The connection ends with the
// answer, since two parsers could disagree about where the next request begins.
type Fault struct {
	// Status is that of the answer, Text explains it.
	Status int
	Text   string
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

// Body is a request's body while it arrives.
type Body interface {
	// Read implements io.Reader. A client that is slow has time as long as bytes
	// come. Close ends a Read in progress: no more of the body is wanted.
	io.ReadCloser
	// Whole reports whether the whole body was read. It may be called while another
	// goroutine reads.
	Whole() bool
	// Fault returns what the client did wrong: ErrCut, ErrTooLarge or a *Fault,
	// possibly wrapped; nil where it did nothing wrong.
	Fault() error
}

// Errors of a Body.
var (
	ErrCut      = errors.New("front: the client's request body ended before its Content-Length")
	ErrTooLarge = errors.New("front: the client's request body is larger than allowed")
)

// Interims passes interim responses on (RFC 9110 section 15.2, RFC 8297).
type Interims interface {
	// Got takes a response and does not wait for the client. After End it does
	// nothing.
	Got(code int, fields policy.Fields) error
	// End returns when none is being written any more.
	End()
}

// Answer is a response as a session sends it. It has a Body, a Stream, or neither:
// the answer to a HEAD, or one that has no body by its status.
type Answer struct {
	// Header is the header, where one was prepared; else it is made of Code and
	// Fields. Code replaces that of Header where it is not 0.
	Header *Header
	Code   int
	Fields policy.Fields
	// These fields differ from answer to answer. A nil value leaves the field as the
	// header has it.
	Age, CacheStatus, Location, ContentRange, ContentType []byte

	// Body is in memory. It must not change until it is written, when Release is
	// closed; a nil Release is ignored.
	Body    []byte
	Release io.Closer
	// Stream is sent after the handler has returned.
	Stream Stream
	// Length is that of the Stream, or of the body that is not sent; -1: it is not
	// known.
	Length int64
	// Close ends the connection with the answer.
	Close bool
}

// Bodiless reports whether answers with that code never have a body (RFC 9110
// sections 15.3.5, 15.3.6, 15.4.5).
func Bodiless(code int) bool { return code == 204 || code == 304 || code < 200 }

// Stream is a body that is sent piece by piece.
type Stream interface {
	// Next returns the next bytes, which are borrowed until the next call, or io.EOF
	// behind the last. Any other error breaks the transfer off, so that the client
	// sees that the body is not whole.
	Next() ([]byte, error)
	// Done is called once, whatever happened: n bytes were written, and gone says
	// that the client took no more.
	Done(n int64, gone bool)
}
