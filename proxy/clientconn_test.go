package proxy

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/valyala/fasthttp"
)

// writesConn counts the writes that do not go to the TCP connection beneath directly.
type writesConn struct {
	net.Conn
	writes int
}

func (c *writesConn) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// TestBodyLeavesWithItsHeader: fasthttp writes a large body as lendBody expects it to, so that it leaves in one system
// call with its header; and a body that is left ends the connection.
func TestBodyLeavesWithItsHeader(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var clock coarseClock
	for _, size := range []int{writeBuffer, 10 << 10, 100 << 10} {
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		accepted, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		plain := &writesConn{Conn: accepted}
		k := newClientConn(plain, netip.Addr{}, &clock, 0)
		k.tcp = accepted.(*net.TCPConn)
		body := bytes.Repeat([]byte("0123456789"), size/10)
		s := &fasthttp.Server{WriteBufferSize: writeBuffer, Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.SetConnectionClose()
			ctx.Response.SetBodyRaw(body)
			lendBody(ctx)
		}}
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: h.example\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- s.ServeConn(k) }()
		all, err := io.ReadAll(client)
		if err != nil || !bytes.HasSuffix(all, append([]byte("\r\n\r\n"), body...)) {
			t.Errorf("a body of %d bytes: the client got %d bytes that do not end in it, %v", len(body), len(all), err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if plain.writes > 0 || k.body != nil {
			t.Errorf("a body of %d bytes left in %d writes of its own", len(body), plain.writes)
		}
	}
	// What ends no header brings no body, and a body that is left ends the connection.
	ours, theirs := net.Pipe()
	read := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(theirs)
		read <- string(all)
	}()
	left := &writesConn{Conn: ours}
	k := newClientConn(left, netip.Addr{}, &clock, 0)
	k.body = []byte("abc")
	if _, err := k.Write([]byte("HTTP/1.1 200 OK\r\nA: b")); err != nil || left.writes != 1 || k.body == nil {
		t.Errorf("half a header: %v, %d writes, body %q", err, left.writes, k.body)
	}
	k.idle()
	if all := <-read; k.body != nil || all != "HTTP/1.1 200 OK\r\nA: b" { // it ends only when the connection does
		t.Errorf("the client got %q, and %q is left", all, k.body)
	}
}
