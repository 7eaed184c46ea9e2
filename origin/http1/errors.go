package http1

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Kind says what ended an exchange.
type Kind uint8

// The kinds of failures.
const (
	Invalid          Kind = iota + 1 // the request cannot be written as HTTP/1.1; nothing was sent
	RequestBody                      // reading the request's body failed
	Reset                            // the connection broke, or ended before the head of a response
	Truncated                        // the connection ended before the body did
	FirstByteTimeout                 // no head of a response in time
	Stalled                          // no progress of a body in time
	HeaderTooLarge                   // a head exceeds its bound
	Malformed                        // the response is not valid HTTP/1, or not safely framed
	Canceled                         // Abort, or an error of Request.Interim
)

// Error is every error of this package but io.EOF.
type Error struct {
	Kind Kind
	Err  error // the cause; never nil
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Why a connection that was used before cannot take another request.
var (
	ErrEarly = errors.New("the server sent bytes before it was asked")
	ErrEnded = errors.New("the server has closed the idle connection")
)

func malformed(format string, args ...any) *Error {
	return &Error{Kind: Malformed, Err: fmt.Errorf(format, args...)}
}

func tooLarge(format string, args ...any) *Error {
	return &Error{Kind: HeaderTooLarge, Err: fmt.Errorf(format, args...)}
}

func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// broken is the failure that err of a read or write means: in a body if inBody, else
// before the head is complete. What ended the exchange from outside comes first.
func (c *Conn) broken(err error, inBody bool) *Error {
	if cause := c.ended(); cause != nil {
		return cause
	}
	e := &Error{Kind: Reset, Err: err}
	switch {
	case timedOut(err) && inBody:
		e.Kind, e.Err = Stalled, errors.New("timeout while reading the response body")
	case timedOut(err):
		e.Kind, e.Err = FirstByteTimeout, errors.New("timeout while waiting for the response header")
	case inBody && (err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)):
		e.Kind, e.Err = Truncated, errors.New("the connection ended before the response body did")
	case err == io.EOF:
		e.Err = errors.New("the connection ended before the response header did")
	}
	return e
}
