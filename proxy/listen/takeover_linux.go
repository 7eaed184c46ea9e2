package listen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// place is the abstract Unix address for processes whose common name is that. It
// belongs to a network namespace, as the sockets that are handed over do, and
// leaves no file behind.
func place(name string) *net.UnixAddr {
	return &net.UnixAddr{Name: "@weir.take-over." + name, Net: "unix"}
}

// sameUser reports whether the process at the other end may have our sockets, or
// give us its own: it runs as the same user, or as root.
func sameUser(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	err = control(raw, func(fd uintptr) (err error) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err == nil && cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		err = fmt.Errorf("it belongs to user %d, and this process to user %d", cred.Uid, os.Geteuid())
	}
	return err
}

// Offer waits for a process that takes over.
type Offer struct {
	ln      *net.UnixListener
	sockets []*net.TCPListener
	log     *slog.Logger
	asked   chan *Successor
	room    chan struct{}
	done    chan struct{} // closed by Close

	mu     sync.Mutex // protects what follows
	closed bool
	open   map[*net.UnixConn]struct{}
	wg     sync.WaitGroup
}

// NewOffer offers the sockets to whoever takes over under that name.
func NewOffer(name string, sockets []*net.TCPListener, log *slog.Logger) (*Offer, error) {
	ln, err := net.ListenUnix("unix", place(name))
	if err != nil {
		return nil, fmt.Errorf("cannot offer the sockets to a process that takes over: %w", err)
	}
	o := &Offer{
		ln: ln, sockets: sockets, log: log, asked: make(chan *Successor), room: make(chan struct{}, maxSuccessors),
		done: make(chan struct{}), open: map[*net.UnixConn]struct{}{},
	}
	o.wg.Go(o.accept)
	return o, nil
}

// Asked gives the process that asks this one to leave. It is received from once.
func (o *Offer) Asked() <-chan *Successor { return o.asked }

// Close ends the offer, and with it what others asked meanwhile; the Successor that
// was received goes on.
func (o *Offer) Close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.done)
	}
	for c := range o.open {
		_ = c.Close()
	}
	o.mu.Unlock()
	_ = o.ln.Close()
	o.wg.Wait()
}

func (o *Offer) accept() {
	for {
		c, err := o.ln.AcceptUnix()
		if err != nil {
			return // closed
		}
		select {
		case o.room <- struct{}{}:
			o.wg.Go(func() {
				defer func() { <-o.room }()
				o.serve(c)
			})
		default:
			_ = c.Close()
		}
	}
}

func (o *Offer) serve(c *net.UnixConn) {
	if !o.enter(c) {
		return
	}
	err := o.converse(c)
	if o.leave(c) && err != nil {
		o.log.Warn("a process that was to take over did not; this one goes on", "error", err)
	}
}

func (o *Offer) enter(c *net.UnixConn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		_ = c.Close()
		return false
	}
	o.open[c] = struct{}{}
	return true
}

// leave closes c, unless a Successor has it; it reports whether it did.
func (o *Offer) leave(c *net.UnixConn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ours := o.open[c]; !ours {
		return false
	}
	delete(o.open, c)
	_ = c.Close()
	return !o.closed
}

func (o *Offer) converse(c *net.UnixConn) error {
	if err := sameUser(c); err != nil {
		return err
	}
	_ = c.SetDeadline(time.Now().Add(greetTime))
	if err := o.sendSockets(c); err != nil {
		return fmt.Errorf("cannot send the sockets: %w", err)
	}
	_ = c.SetDeadline(time.Now().Add(prepareTime))
	line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != lineBegin {
		return errors.New("it ended, or took too long, before it was ready")
	}
	_ = c.SetDeadline(time.Time{})
	o.mu.Lock()
	closed := o.closed
	delete(o.open, c)
	o.mu.Unlock()
	if closed {
		return nil
	}
	select {
	case o.asked <- &Successor{conn: c}:
	case <-o.done:
		_ = c.Close()
	}
	return nil
}

// sendSockets sends duplicates of the descriptors.
func (o *Offer) sendSockets(c *net.UnixConn) error {
	var fds []int
	return o.descriptors(&fds, 0, func() error {
		_, _, err := c.WriteMsgUnix([]byte(lineSockets+"\n"), unix.UnixRights(fds...), nil)
		return err
	})
}

// descriptors calls f while all descriptors from the i-th socket on are in fds and
// stay open. They are not taken out of package net with File, which would make the
// sockets, and those of the other process with them, block.
func (o *Offer) descriptors(fds *[]int, i int, f func() error) error {
	if i == len(o.sockets) {
		return f()
	}
	raw, err := o.sockets[i].SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd uintptr) error {
		*fds = append(*fds, int(fd))
		return o.descriptors(fds, i+1, f)
	})
}

// TakeOver asks the process of that name, which is the address of its admin plane,
// for its sockets. It returns nil when there is none, or it is leaving already.
func TakeOver(ctx context.Context, name string) (*Predecessor, error) {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", place(name).Name)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot ask the running weir for its sockets: %w", err)
	}
	p := &Predecessor{conn: conn.(*net.UnixConn), Sockets: &Sockets{}}
	if err := p.receive(); err != nil {
		p.Close()
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return nil, nil // it is leaving already
		}
		return nil, fmt.Errorf("cannot take the sockets of the running weir: %w", err)
	}
	return p, nil
}

func (p *Predecessor) receive() error {
	if err := sameUser(p.conn); err != nil {
		return err
	}
	_ = p.conn.SetDeadline(time.Now().Add(greetTime))
	line, oob := make([]byte, len(lineSockets)+1), make([]byte, unix.CmsgSpace(4*maxSockets))
	n, oobn, flags, _, err := p.conn.ReadMsgUnix(line, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(line[:n])); got != lineSockets {
		return fmt.Errorf("it said %q, and this version expects %q: stop it, and start this one without --take-over", got, lineSockets)
	}
	fds, err := rights(oob[:oobn])
	for _, fd := range fds {
		err = errors.Join(err, p.Sockets.add(fd, "of the running weir"))
	}
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		err = errors.New("not all of them came: the limit of open files is too low")
	}
	_ = p.conn.SetDeadline(time.Time{})
	p.in = bufio.NewReaderSize(p.conn, 64)
	return err
}

func rights(oob []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	for i := range messages {
		some, rerr := unix.ParseUnixRights(&messages[i])
		fds, err = append(fds, some...), errors.Join(err, rerr)
	}
	return fds, err
}
