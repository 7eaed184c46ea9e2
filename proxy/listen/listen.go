// Package listen opens the sockets that clients connect to.
//
// What it guarantees:
//   - Accept of a plain listener returns *net.TCPConn, with no wrapper between
//     the server and writev; Accept never blocks on one client;
//   - a client that takes no byte for ProgressTimeout is dropped by the kernel,
//     one that goes on taking bytes is not, however slowly, and neither costs
//     anything per request (Linux only);
//   - TLS handshakes and PROXY headers happen in the goroutine that serves the
//     connection, and are bounded by HeaderTimeout;
//   - certificates follow their files; a pair that does not load leaves the one
//     before it in use;
//   - an address is believed from a PROXY header only when a trusted sender sent
//     it.
//
// What it refuses: TLS below 1.2, any ALPN protocol but http/1.1, connections of
// untrusted senders that open with a PROXY header, and connections of trusted
// ones that do not.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
)

// Defaults of Config; each is what an empty field stands for.
const (
	DefaultProgressTimeout = 60 * time.Second
	DefaultHeaderTimeout   = 10 * time.Second
	DefaultReloadEvery     = 5 * time.Second
)

// Config describes one listener.
type Config struct {
	Address string // "host:port"; port 0 takes a free one
	// CertFile and KeyFile (PEM) make it a TLS listener; both or none.
	CertFile, KeyFile string
	// ProxyProtocol expects a PROXY header (version 1 or 2) from every address in
	// Trusted. From any other address a connection that opens with one is closed;
	// without one it is served under its own address.
	ProxyProtocol bool
	Trusted       []netip.Prefix // at the start; SetTrusted changes it
	// ProgressTimeout is how long a client may take no byte of what was sent.
	ProgressTimeout time.Duration
	// HeaderTimeout bounds the PROXY header, and the TLS handshake, each.
	HeaderTimeout time.Duration
	// Socket, when set, listens on the address already: systemd or another process
	// opened it. The listener owns it, also when it cannot be made.
	Socket *net.TCPListener
	// Tick, when set, says when to look whether the certificate has changed,
	// instead of every DefaultReloadEvery.
	Tick <-chan time.Time
	Log  *slog.Logger // nil discards
}

// Listener is a net.Listener. Its connections are *net.TCPConn (plain),
// *proxyproto.Conn (PROXY protocol) or a *tls.Conn with a bounded handshake.
type Listener struct {
	conf Config
	tcp  *net.TCPListener
	keys *keyPair // nil without TLS
	tls  *tls.Config
	// trusted is read for each connection with the PROXY protocol, never changed.
	trusted atomic.Pointer[[]netip.Prefix]
	closed  chan struct{}
	once    sync.Once
	wg      sync.WaitGroup // the goroutine that follows the certificate's files
}

// Listen opens the socket, or uses the one that is given. ctx governs only the opening; one that is over opens nothing.
func Listen(ctx context.Context, c Config) (_ *Listener, err error) {
	if c.Socket != nil {
		defer func() {
			if err != nil {
				_ = c.Socket.Close()
			}
		}()
	}
	// Package net looks at it only where it has to wait, and not always then.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Address, err)
	}
	if c.ProgressTimeout == 0 {
		c.ProgressTimeout = DefaultProgressTimeout
	}
	if c.HeaderTimeout == 0 {
		c.HeaderTimeout = DefaultHeaderTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.ProgressTimeout < 0 || c.HeaderTimeout < 0 {
		return nil, fmt.Errorf("cannot listen on %s: a timeout is negative", c.Address)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, fmt.Errorf("cannot listen on %s: certificate and key must be given together", c.Address)
	}
	l := &Listener{conf: c, closed: make(chan struct{})}
	l.SetTrusted(c.Trusted)
	if c.CertFile != "" {
		l.keys = &keyPair{certFile: c.CertFile, keyFile: c.KeyFile}
		if _, err := l.keys.load(); err != nil {
			return nil, fmt.Errorf("cannot listen on %s: %w", c.Address, err)
		}
		l.tls = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"http/1.1"},
			GetCertificate: l.keys.get,
		}
	}
	if l.tcp = c.Socket; l.tcp == nil {
		l.tcp, err = openSocket(ctx, c)
	} else {
		err = adopt(l.tcp, c)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Address, err)
	}
	if l.keys != nil {
		l.wg.Add(1)
		go l.follow()
	}
	return l, nil
}

// openSocket opens the socket of c.
func openSocket(ctx context.Context, c Config) (*net.TCPListener, error) {
	lc := net.ListenConfig{
		// Keep-alive is set on the listening socket with the rest, and inherited;
		// the runtime would set it anew on each connection.
		KeepAlive: -1,
		Control: func(_, _ string, raw syscall.RawConn) error {
			return control(raw, func(fd uintptr) error { return prepare(fd, c.ProgressTimeout) })
		},
	}
	ln, err := lc.Listen(ctx, "tcp", c.Address)
	if err != nil {
		// Of "listen tcp 127.0.0.1:80: bind: permission denied" the end is enough.
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err
		}
		return nil, err
	}
	return ln.(*net.TCPListener), nil
}

// adopt prepares a socket that another process opened.
func adopt(ln *net.TCPListener, c Config) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	err = control(raw, func(fd uintptr) error { return prepare(fd, c.ProgressTimeout) })
	if errors.Is(err, syscall.ENOPROTOOPT) || errors.Is(err, syscall.EOPNOTSUPP) {
		err = fmt.Errorf("%w (is it of multipath TCP? valid is a socket of plain TCP: in systemd's unit no SocketProtocol=)", err)
	}
	return err
}

// control runs f on the socket behind raw.
func control(raw syscall.RawConn, f func(fd uintptr) error) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) { err = f(fd) }); cerr != nil {
		return cerr
	}
	return err
}

// SetTrusted replaces the senders whose PROXY headers are believed, for the
// connections accepted from now on; those already open keep the address that
// they have. It may be called while connections are accepted. The slice is copied.
func (l *Listener) SetTrusted(trusted []netip.Prefix) {
	t := slices.Clone(trusted)
	l.trusted.Store(&t)
}

// Socket is the listening socket, for an Offer. It stays the listener's.
func (l *Listener) Socket() *net.TCPListener { return l.tcp }

// Addr is the address listened on, with the port that was taken.
func (l *Listener) Addr() net.Addr { return l.tcp.Addr() }

// Close stops accepting and waits for the listener's own goroutine; connections
// already accepted go on.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		err = l.tcp.Close()
		l.wg.Wait()
	})
	return err
}

// maxPause is the longest wait after the process ran out of file descriptors or
// buffers: long enough not to spin, short enough not to be noticed afterwards.
const maxPause = 200 * time.Millisecond

// Accept returns the next connection. Shortages that pass (no file descriptors,
// a client that left before it was accepted) are waited out here: fasthttp stops
// serving altogether when Accept fails.
func (l *Listener) Accept() (net.Conn, error) {
	for pause := time.Duration(0); ; {
		c, err := l.tcp.AcceptTCP()
		if err == nil {
			if l.conf.Socket != nil {
				// Package net sets its own default on what comes from such a socket.
				_ = c.SetKeepAliveConfig(keepAlive) // the connection is broken, as a read will show
			}
			return l.wrap(c), nil
		}
		if !passing(err) {
			return nil, err
		}
		if pause == 0 {
			l.conf.Log.Warn("cannot accept a connection, will go on trying", "address", l.Addr().String(), "error", err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), maxPause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.closed:
			timer.Stop()
			return nil, net.ErrClosed
		}
	}
}

func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (l *Listener) wrap(c *net.TCPConn) net.Conn {
	if l.tls == nil && !l.conf.ProxyProtocol {
		return c
	}
	var conn net.Conn = c
	if l.conf.ProxyProtocol {
		// A sender that is trusted must send the header: where it is optional, the
		// client behind a sender that sends none could write one itself.
		policy := proxyproto.REJECT
		if l.trusts(c.RemoteAddr()) {
			policy = proxyproto.REQUIRE
		}
		conn = proxyproto.NewConn(c, proxyproto.WithPolicy(policy), proxyproto.SetReadHeaderTimeout(l.conf.HeaderTimeout))
	}
	if l.tls != nil {
		conn = &tlsConn{Conn: tls.Server(conn, l.tls), timeout: l.conf.HeaderTimeout}
	}
	return conn
}

func (l *Listener) trusts(a net.Addr) bool {
	ip := addrOf(a)
	for _, p := range *l.trusted.Load() {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}
