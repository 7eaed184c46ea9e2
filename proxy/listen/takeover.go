package listen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A process takes over from another one in these steps, on a Unix socket whose name
// follows from what the two share (see TakeOver). What one side sends is a line.
//
//	new                              old
//	connects            ->           checks that it is of the same user
//	                    <-  sockets  with the listening sockets themselves (SCM_RIGHTS)
//	prepares all it can
//	begin               ->           stops accepting, takes no purges any more
//	                    <-  yours
//	accepts                          gives the disk up, drains
//	                    <-  released
//	opens the disk                   ends
//
// The two have the same sockets, not two of the same address: what waits to be
// accepted waits for whichever process accepts next, and none of it is lost when one
// closes its own. Up to begin the old process goes on as if nobody had asked. Where the connection
// ends the other process has, and the one that is left goes on.
const (
	lineSockets  = "weir sockets 1"
	lineBegin    = "begin"
	lineYours    = "yours"
	lineReleased = "released"

	// greetTime bounds what needs no preparation, prepareTime what a process may do
	// between the sockets and begin.
	greetTime   = 5 * time.Second
	prepareTime = time.Minute
	// maxSuccessors bounds the connections that are looked at at once.
	maxSuccessors = 4
)

// ErrUnsupported: there is no way to hand sockets over on this system.
var ErrUnsupported = errors.New("taking over needs Linux")

// Successor is a process that takes over from this one.
type Successor struct{ conn *net.UnixConn }

// Yours says that this process accepts nothing any more.
func (s *Successor) Yours() error { return s.say(lineYours) }

// Released says that the disk can be opened, and ends the conversation.
func (s *Successor) Released() error { return errors.Join(s.say(lineReleased), s.conn.Close()) }

func (s *Successor) say(line string) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(greetTime))
	_, err := io.WriteString(s.conn, line+"\n")
	return err
}

// Predecessor is a process from which this one takes over.
type Predecessor struct {
	// Sockets are those on which it listens.
	Sockets *Sockets

	conn *net.UnixConn
	in   *bufio.Reader
}

// Begin asks the other process to leave, and returns when it accepts nothing any
// more, or has ended.
func (p *Predecessor) Begin(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(p.conn, lineBegin+"\n"); err != nil {
		return nil // it has ended
	}
	return p.await(ctx, lineYours)
}

// AwaitRelease returns when the other process has given its disk up, or has ended.
func (p *Predecessor) AwaitRelease(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return p.await(ctx, lineReleased)
}

func (p *Predecessor) await(ctx context.Context, want string) error {
	line, err := p.in.ReadString('\n')
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the running weir did not say %q: %w", want, context.Cause(ctx))
	case err != nil:
		return nil // it has ended
	case strings.TrimSpace(line) != want:
		return fmt.Errorf("the running weir said %q instead of %q", strings.TrimSpace(line), want)
	}
	return nil
}

// Close gives back the sockets that were not taken, and ends the conversation.
func (p *Predecessor) Close() {
	p.Sockets.Close()
	_ = p.conn.Close()
}
