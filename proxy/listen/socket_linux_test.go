package listen

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func option(t *testing.T, c *net.TCPConn, level, name int) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if err := control(raw, func(fd uintptr) (err error) {
		v, err = unix.GetsockoptInt(int(fd), level, name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAcceptedSocketsInheritTheOptions(t *testing.T) {
	_, s := meet(t, open(t, Config{ProgressTimeout: 7 * time.Second}))
	c := TCP(s)
	for _, o := range []struct {
		name             string
		level, opt, want int
	}{
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 7000},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepInterval},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepCount},
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		if got := option(t, c, o.level, o.opt); got != o.want {
			t.Errorf("%s is %d, want %d", o.name, got, o.want)
		}
	}
}

// narrow connects a client whose receive buffer is as small as it gets, so that
// what the server writes soon waits for the client to read.
func narrow(t *testing.T, l *Listener) (client *net.TCPConn, server net.Conn) {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd uintptr) error { return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	if err := s.(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), s
}

// send writes without end and returns what stopped it.
func send(s net.Conn) <-chan error {
	failed := make(chan error, 1)
	go func() {
		block := make([]byte, 64<<10)
		for {
			if _, err := s.Write(block); err != nil {
				failed <- err
				return
			}
		}
	}()
	return failed
}

// await returns what comes from c, and fails the test when nothing comes.
func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("waited a minute for %s", what)
	}
	return v
}

func TestStuckReaderIsDropped(t *testing.T) {
	_, s := narrow(t, open(t, Config{ProgressTimeout: 300 * time.Millisecond}))
	if err := await(t, send(s), "the stuck client to be dropped"); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("the write failed with %v", err)
	}
}

// TestSlowReaderIsNotCut: one client reads a little at a time for three times the
// progress timeout. Beside it, a stuck client on the same listener shows, by
// being dropped over and over, that the timeout was at work all that while.
//
// The timeout is the kernel's and runs in real time. On a machine so busy that
// the reader itself came late, or the kernel's own timers did, being cut says
// nothing, and the test begins again with twice the time: a fault of ours would
// cut the client then too.
func TestSlowReaderIsNotCut(t *testing.T) {
	for timeout := 1500 * time.Millisecond; ; timeout *= 2 {
		pause, cut := readSlowly(t, timeout)
		switch {
		case cut == nil:
			return
		case pause < timeout/2 && timeout > 5*time.Second:
			t.Fatalf("the slow client was cut though it never paused for more than %v of %v: %v", pause, timeout, cut)
		case timeout > 10*time.Second:
			t.Fatalf("the machine is too busy for this test: the client paused for %v of %v and was cut: %v", pause, timeout, cut)
		}
		t.Logf("the client paused for %v of %v and was cut, which proves nothing", pause, timeout)
	}
}

// readSlowly plays the test once. It returns the longest time that the slow
// client did not read for, and what ended it, nil if nothing did.
func readSlowly(t *testing.T, timeout time.Duration) (pause time.Duration, cut error) {
	t.Helper()
	l := open(t, Config{ProgressTimeout: timeout})
	slow, s := narrow(t, l)
	failed := send(s)
	stop := make(chan struct{})
	read := make(chan error, 1)
	go func() {
		pace := time.NewTicker(timeout / 15)
		defer pace.Stop()
		buf := make([]byte, 2048)
		last := time.Now()
		for {
			select {
			case <-stop:
				read <- nil
				return
			case <-pace.C:
			}
			_, err := io.ReadFull(slow, buf)
			pause, last = max(pause, time.Since(last)), time.Now()
			if err != nil {
				read <- err
				return
			}
		}
	}()
	for range 3 {
		_, stuck := narrow(t, l)
		if err := await(t, send(stuck), "a stuck client to be dropped"); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("the stuck client's write failed with %v", err)
		}
	}
	close(stop)
	cut = await(t, read, "the slow client's last read")
	s.Close()
	if err := await(t, failed, "the write to the slow client to end"); cut == nil && !errors.Is(err, net.ErrClosed) {
		cut = err
	}
	return pause, cut
}

// signal is a log that tells when something is written to it.
type signal chan struct{}

func (s signal) Write(p []byte) (int, error) {
	select {
	case s <- struct{}{}:
	default:
	}
	return len(p), nil
}

func TestAcceptSurvivesAShortageOfDescriptors(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	l := open(t, Config{})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	logged := make(signal, 1)
	l.conf.Log = slog.New(slog.NewTextHandler(logged, nil))
	low := old
	low.Cur = 3 // below what is open already: accepting needs one more
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
	defer restore()
	got := make(chan error, 1)
	go func() {
		s, err := l.Accept()
		if err == nil {
			s.Close()
		}
		got <- err
	}()
	await(t, logged, "the log of the shortage")
	restore()
	if err := await(t, got, "Accept to go on"); err != nil {
		t.Errorf("Accept gave up: %v", err)
	}
}

func TestLook(t *testing.T) {
	l := open(t, Config{})
	// event waits until the kernel has something to tell about c.
	event := func(c net.Conn, events int16) {
		t.Helper()
		raw, err := TCP(c).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := control(raw, func(fd uintptr) error {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 10_000)
			if err == nil && n == 0 {
				err = os.ErrDeadlineExceeded
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("alive", func(t *testing.T) {
		c, s := meet(t, l)
		if Look(s) != (Peer{}) {
			t.Error("a silent client is gone")
		}
		_, _ = io.WriteString(c, "abc")
		event(s, unix.POLLIN)
		if Look(s) != (Peer{}) {
			t.Error("a client that sends is gone")
		}
		b := make([]byte, 3)
		if _, err := io.ReadFull(s, b); err != nil || string(b) != "abc" {
			t.Errorf("bytes were taken: %q, %v", b, err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		c, s := meet(t, l)
		c.Close()
		event(s, unix.POLLRDHUP)
		if p := Look(s); p != (Peer{Ended: true}) {
			t.Error("a client that closed is not gone")
		}
	})
	t.Run("closed behind unread bytes", func(t *testing.T) {
		c, s := meet(t, l)
		_, _ = io.WriteString(c, "abc")
		c.Close()
		event(s, unix.POLLRDHUP)
		if p := Look(s); p != (Peer{Ended: true, Unread: true}) {
			t.Error("a client that closed is not gone")
		}
		if b, err := io.ReadAll(s); err != nil || string(b) != "abc" {
			t.Errorf("bytes were taken: %q, %v", b, err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		c, s := meet(t, l)
		if err := c.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		c.Close()
		event(s, unix.POLLERR)
		if p := Look(s); !p.Broken {
			t.Error("a client that reset is not gone")
		}
	})
	t.Run("our own end closed", func(t *testing.T) {
		_, s := meet(t, l)
		s.Close()
		if p := Look(s); p != (Peer{Broken: true}) {
			t.Error("a closed connection is not gone")
		}
	})
	t.Run("no TCP", func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		b.Close()
		if Look(a) != (Peer{}) || TCP(a) != nil {
			t.Error("a pipe was looked into")
		}
	})
}

func BenchmarkLook(b *testing.B) {
	l, err := Listen(b.Context(), Config{Address: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		if Look(s) != (Peer{}) {
			b.Fatal("gone")
		}
	}
}
