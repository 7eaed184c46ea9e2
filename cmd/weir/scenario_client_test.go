package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"weir/loadtest/selfcheck"
)

// request is what a client sends, as the options of start and get say.
type request struct {
	target string

	method   string
	host     string
	headers  list   // further header lines
	http10   bool   // HTTP/1.0
	upload   int64  // bytes of selfcheck content of the target; -1: no body
	chunked  bool   // send it in chunks
	cut      int64  // close after so many bytes of it; -1: never
	expect   bool   // Expect: 100-continue, and wait for it
	read     int64  // stop reading after so many bytes of the response body until resume; -1: never
	preamble string // sent before everything, PROXY headers for example
	from     string // source address
	tls      string // certificate file to trust: speak TLS
	sni      string // server name for TLS
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, "\n") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// size is a flag that takes bytes, KiB, MiB or GiB.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }
func (s *size) Set(v string) error {
	n, err := parseByteSize(v)
	*s = size(n)
	return err
}

func parseRequest(ts *testscript.TestScript, target string, args []string) *request {
	r := &request{target: target, upload: -1, cut: -1, read: -1}
	f := flag.NewFlagSet("start", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&r.method, "X", "", "method")
	f.StringVar(&r.host, "host", "", "Host header field")
	f.Var(&r.headers, "H", "header line")
	f.BoolVar(&r.http10, "http10", false, "speak HTTP/1.0")
	f.Var((*size)(&r.upload), "upload", "size of the request body")
	f.BoolVar(&r.chunked, "chunked", false, "send the request body in chunks")
	f.Var((*size)(&r.cut), "cut", "close after so much of the request body")
	f.BoolVar(&r.expect, "expect", false, "wait for 100 Continue")
	f.Var((*size)(&r.read), "read", "stop reading after so much of the response body")
	f.StringVar(&r.preamble, "preamble", "", "Go string to send first")
	f.StringVar(&r.from, "from", "", "source address")
	f.StringVar(&r.tls, "tls", "", "certificate to trust")
	f.StringVar(&r.sni, "sni", "shop.example", "server name for TLS")
	ts.Check(f.Parse(args))
	if f.NArg() > 0 {
		ts.Fatalf("cannot understand %q", f.Args())
	}
	if r.method == "" {
		r.method = "GET"
		if r.upload >= 0 {
			r.method = "POST"
		}
	}
	if r.tls != "" {
		r.tls = ts.MkAbs(r.tls)
	}
	return r
}

// head is the request line and the header section.
func (r *request) head() string {
	var b strings.Builder
	proto := "HTTP/1.1"
	if r.http10 {
		proto = "HTTP/1.0"
	}
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\n", r.method, r.target, proto, r.host)
	switch {
	case r.upload >= 0 && r.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case r.upload >= 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", r.upload)
	}
	if r.expect {
		b.WriteString("Expect: 100-continue\r\n")
	}
	for _, h := range r.headers {
		b.WriteString(h + "\r\n")
	}
	return b.String() + "\r\n"
}

// client is one connection to weir and what came back on it.
type client struct {
	gate
	conn   net.Conn
	method string // of the requests: how a response ends depends on it
	name   string // of the content that is expected
	pause  int64  // as request.read
	// resumed is closed when the client may read on, gone when it has left.
	resumed chan struct{}
	gone    chan struct{}
	leaving sync.Once

	// protected by gate.mu
	sent      int64 // bytes of the request body
	sentAll   bool
	sendErr   error
	responses []*response
	at        int // which of them expect looks at
	ended     bool
	err       error // how reading ended; io.EOF for an orderly end
}

// dial connects to W, W:N or W:admin.
func dial(ts *testscript.TestScript, to string, r *request) net.Conn {
	name, which, _ := strings.Cut(to, ":")
	p := processOf(ts, name)
	address := p.data[0]
	switch {
	case which == "admin":
		address = p.admin
	case which != "":
		n, err := strconv.Atoi(which)
		if err != nil || n < 1 || n > len(p.data) {
			ts.Fatalf("%s has %d listeners, so there is no %q", name, len(p.data), which)
		}
		address = p.data[n-1]
	}
	d := net.Dialer{Timeout: patience}
	if r.from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(r.from)}
	}
	if r.host == "" && which == "admin" {
		r.host = address
	} else if r.host == "" {
		r.host = "shop.example"
	}
	conn, err := d.Dial("tcp", address)
	ts.Check(err)
	if tcp, ok := conn.(*net.TCPConn); ok && r.read >= 0 {
		// What the kernel takes for a client that does not read, weir can
		// still send: keep that small, but above loopback's segments.
		ts.Check(tcp.SetReadBuffer(128 << 10))
	}
	if r.preamble != "" {
		_, err := io.WriteString(conn, unquote(ts, r.preamble))
		ts.Check(err)
	}
	if r.tls == "" {
		return conn
	}
	return secure(ts, conn, r)
}

func secure(ts *testscript.TestScript, conn net.Conn, r *request) net.Conn {
	pem, err := os.ReadFile(r.tls)
	ts.Check(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		ts.Fatalf("%s holds no certificate", r.tls)
	}
	c := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: r.sni, MinVersion: tls.VersionTLS12})
	ts.Check(c.SetDeadline(time.Now().Add(patience)))
	if err := c.Handshake(); err != nil {
		conn.Close()
		ts.Fatalf("TLS: %v", err)
	}
	ts.Check(c.SetDeadline(time.Time{}))
	return c
}

func unquote(ts *testscript.TestScript, s string) string {
	out, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	ts.Check(err)
	return out
}

// begin registers a client and starts reading its connection.
func begin(ts *testscript.TestScript, name string, c *client) {
	w := worldOf(ts)
	if old := w.clients[name]; old != nil {
		old.close()
	} else {
		w.names = append(w.names, name)
	}
	w.clients[name] = c
	c.resumed, c.gone = make(chan struct{}), make(chan struct{})
	go c.read()
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, -1, "start CLIENT WEIR TARGET [options]")
	r := parseRequest(ts, args[2], args[3:])
	c := &client{conn: dial(ts, args[1], r), method: r.method, name: r.target, pause: r.read}
	begin(ts, args[0], c)
	go c.write(r)
}

func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	cmdStart(ts, neg, args)
	c := clientOf(ts, args[0])
	if !c.await(func() bool { return c.ended || len(c.responses) > 0 && c.responses[len(c.responses)-1].over() }) {
		ts.Fatalf("%s: no response, or none that ended", args[0])
	}
	c.close()
}

func cmdRaw(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, -1, "raw CLIENT WEIR BYTES [options]")
	r := parseRequest(ts, "/", args[3:])
	text := unquote(ts, args[2])
	method, rest, _ := strings.Cut(text, " ")
	target, _, _ := strings.Cut(rest, " ")
	c := &client{conn: dial(ts, args[1], r), method: method, name: target, pause: r.read}
	begin(ts, args[0], c)
	c.put([]byte(text))
}

func cmdSend(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2, "send CLIENT BYTES")
	clientOf(ts, args[0]).put([]byte(unquote(ts, args[1])))
}

func cmdNext(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "next CLIENT")
	c := clientOf(ts, args[0])
	c.change(func() { c.at++ })
}

func cmdResume(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "resume CLIENT")
	c := clientOf(ts, args[0])
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		ts.Check(tcp.SetReadBuffer(4 << 20))
	}
	close(c.resumed)
}

func cmdLeave(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "leave CLIENT")
	clientOf(ts, args[0]).close()
}

// cmdBlocked: a transfer that makes no step between two looks stands still. What
// is looked for is its end: whoever never blocks gets there, and fails.
func cmdBlocked(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1, 1, "blocked CLIENT")
	c := clientOf(ts, args[0])
	last, same := int64(-1), 0
	if !poll(func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sentAll || c.ended {
			ts.Fatalf("%s did not block", args[0])
		}
		if c.sent != last {
			last, same = c.sent, 0
			return false
		}
		same++
		return same > 60
	}) {
		ts.Fatalf("%s goes on and on", args[0])
	}
}

func clientOf(ts *testscript.TestScript, name string) *client {
	c := worldOf(ts).clients[name]
	if c == nil {
		ts.Fatalf("there is no client %q", name)
	}
	return c
}

// close ends the connection; it may be called again.
func (c *client) close() {
	c.leaving.Do(func() {
		close(c.gone)
		_ = c.conn.Close() // it may have ended by itself
	})
}

// put sends bytes as they are.
func (c *client) put(p []byte) {
	if _, err := c.conn.Write(p); err != nil {
		c.change(func() { c.sendErr = err })
	}
}

// write sends the request.
func (c *client) write(r *request) {
	err := c.writeRequest(r)
	c.change(func() { c.sentAll, c.sendErr = err == nil, err })
}

var errNotAsked = errors.New("a final response came before the body was asked for")

func (c *client) writeRequest(r *request) error {
	if _, err := io.WriteString(c.conn, r.head()); err != nil || r.upload < 0 {
		return err
	}
	if r.expect {
		var asked bool
		c.await(func() bool {
			for _, resp := range c.responses {
				asked = asked || resp.status == 100
			}
			return asked || c.ended || len(c.responses) > 0
		})
		if !asked {
			return errNotAsked
		}
	}
	return c.writeBody(r)
}

func (c *client) writeBody(r *request) error {
	body := selfcheck.NewReader(selfcheck.SeedOf(r.target, 0), r.upload)
	buf := make([]byte, 64<<10)
	for sent := int64(0); ; {
		room := buf
		if r.cut >= 0 {
			room = buf[:min(int64(len(buf)), r.cut-sent)]
		}
		if len(room) == 0 {
			c.close()
			return nil
		}
		n, err := body.Read(room)
		if n > 0 {
			if err := c.writePiece(room[:n], r.chunked); err != nil {
				return err
			}
			sent += int64(n)
			c.change(func() { c.sent = sent })
		}
		if err == io.EOF {
			break
		}
	}
	if r.chunked {
		_, err := io.WriteString(c.conn, "0\r\n\r\n")
		return err
	}
	return nil
}

func (c *client) writePiece(p []byte, chunked bool) error {
	if !chunked {
		_, err := c.conn.Write(p)
		return err
	}
	if _, err := fmt.Fprintf(c.conn, "%x\r\n", len(p)); err != nil {
		return err
	}
	if _, err := c.conn.Write(p); err != nil {
		return err
	}
	_, err := io.WriteString(c.conn, "\r\n")
	return err
}
