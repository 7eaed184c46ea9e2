package listen

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, c Config) *Listener {
	t.Helper()
	c.Address = "127.0.0.1:0"
	l, err := Listen(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// meet connects a client and returns both ends.
func meet(t *testing.T, l *Listener) (client *net.TCPConn, server net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s
}

// certificate writes a self-signed pair for name and returns the certificate.
func certificate(t *testing.T, certFile, keyFile, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPlainConnectionsAreBare(t *testing.T) {
	_, s := meet(t, open(t, Config{}))
	if _, ok := s.(*net.TCPConn); !ok {
		t.Errorf("Accept returned %T", s)
	}
	if TCP(s) != s || ClientAddr(s) != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("TCP %v, client %v", TCP(s), ClientAddr(s))
	}
}

func TestConfigFaults(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.pem")
	write(t, bad, []byte("nonsense"))
	huge := filepath.Join(dir, "huge.pem")
	write(t, huge, make([]byte, maxPEM+1))
	for _, c := range []Config{
		{Address: "nonsense"},
		{Address: "127.0.0.1:0", ProgressTimeout: -1},
		{Address: "127.0.0.1:0", HeaderTimeout: -1},
		{Address: "127.0.0.1:0", CertFile: bad},
		{Address: "127.0.0.1:0", CertFile: bad, KeyFile: bad},
		{Address: "127.0.0.1:0", CertFile: huge, KeyFile: bad},
		{Address: "127.0.0.1:0", CertFile: bad, KeyFile: filepath.Join(dir, "none.pem")},
	} {
		if l, err := Listen(t.Context(), c); err == nil {
			l.Close()
			t.Errorf("%+v is accepted", c)
		} else if !strings.Contains(err.Error(), c.Address) {
			t.Errorf("error does not name the address: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, address := range []string{"localhost:0", "127.0.0.1:0"} { // with and without a name to look up
		if l, err := Listen(ctx, Config{Address: address}); !errors.Is(err, context.Canceled) {
			if err == nil {
				l.Close()
			}
			t.Errorf("%s with a cancelled context: %v", address, err)
		}
	}
}

func TestCloseEndsAccept(t *testing.T) {
	l := open(t, Config{})
	done := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		done <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("a second Close returned %v", err)
	}
}

func TestPassingErrors(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.EMFILE: true, syscall.ENFILE: true, syscall.ECONNABORTED: true, syscall.EINVAL: false, net.ErrClosed: false,
	} {
		if got := passing(&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestProxyHeader(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	other := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	src := &net.TCPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1234}
	src6 := &net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 1234}
	dst := &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 80}
	format := func(version byte, src net.Addr) string {
		b, err := proxyproto.HeaderProxyFromAddrs(version, src, dst).Format()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	tests := []struct {
		name    string
		trusted []netip.Prefix
		send    string
		client  string // empty: refused
	}{
		{"v1 trusted", loopback, format(1, src), "192.0.2.7"},
		{"v2 trusted", loopback, format(2, src), "192.0.2.7"},
		{"v2 IPv6 trusted", loopback, format(2, src6), "2001:db8::7"},
		{"v1 unknown", loopback, "PROXY UNKNOWN\r\n", "127.0.0.1"},
		{"v2 local", loopback, "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "127.0.0.1"},
		{"v2 Unix socket", loopback, "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("a", 216), "127.0.0.1"},
		{"trusted without a header", loopback, "", ""},
		{"trusted with a bad header", loopback, "PROXY TCP4 nonsense\r\n", ""},
		{"v1 untrusted", other, format(1, src), ""},
		{"v2 untrusted", other, format(2, src), ""},
		{"v1, nobody trusted", nil, format(1, src), ""},
		{"untrusted without a header", other, "", "127.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, Config{ProxyProtocol: true, Trusted: tt.trusted})
			c, s := meet(t, l)
			go func() { _, _ = io.WriteString(c, tt.send+"POST / HTTP/1.1\r\n") }()
			line, err := bufio.NewReader(s).ReadString('\n')
			if tt.client == "" {
				if err == nil {
					t.Fatalf("the connection is served: %q from %v", line, ClientAddr(s))
				}
				return
			}
			if err != nil || line != "POST / HTTP/1.1\r\n" {
				t.Fatalf("server read %q, %v", line, err)
			}
			if got := ClientAddr(s); got.String() != tt.client {
				t.Errorf("client is %v, want %s", got, tt.client)
			}
			if TCP(s) == nil {
				t.Error("the TCP connection is not found")
			}
		})
	}
}

// TestTrustIsReplacedWhileAccepting: who is believed changes for the next
// connection, whether a network came or went, and the caller's slice is not kept.
func TestTrustIsReplacedWhileAccepting(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	l := open(t, Config{ProxyProtocol: true, Trusted: loopback})
	ask := func() (string, error) {
		c, s := meet(t, l)
		if _, err := io.WriteString(c, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\nGET\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(s).ReadString('\n'); err != nil {
			return "", err
		}
		return ClientAddr(s).String(), nil
	}
	loopback[0] = netip.MustParsePrefix("10.0.0.0/8")
	if got, err := ask(); err != nil || got != "192.0.2.7" {
		t.Errorf("a trusted sender: %s, %v", got, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.SetTrusted(nil)
	}()
	_, s := meet(t, l) // beside SetTrusted, for the race detector
	s.Close()
	<-done
	if got, err := ask(); err == nil {
		t.Errorf("a sender that is trusted no more is believed: %s", got)
	}
	l.SetTrusted([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	if got, err := ask(); err != nil || got != "192.0.2.7" {
		t.Errorf("a sender that is trusted by now: %s, %v", got, err)
	}
}

// TestSilentProxySender: the wait for the header has an end, and does not hold up
// Accept.
func TestSilentProxySender(t *testing.T) {
	l := open(t, Config{ProxyProtocol: true, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, HeaderTimeout: 50 * time.Millisecond})
	_, silent := meet(t, l)
	meet(t, l)
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, proxyproto.ErrNoProxyProtocol) {
		t.Errorf("reading from a silent sender: %v", err)
	}
}

// tlsServer serves l as the proxy does, each connection with its handshake in a goroutine of its own, and answers with
// the client's address.
func tlsServer(t *testing.T, l *Listener) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // it is closed
			}
			wg.Go(func() { answerTLS(c) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
}

func answerTLS(c net.Conn) {
	defer c.Close()
	s, secure := c.(interface{ Handshake() error })
	if secure && s.Handshake() != nil {
		return
	}
	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}
	_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", secure, " ", ClientAddr(c))
}

func askTLS(t *testing.T, l *Listener, root *x509.Certificate, prefix string, conf *tls.Config) (string, error) {
	t.Helper()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := io.WriteString(raw, prefix); err != nil {
		t.Fatal(err)
	}
	conf.RootCAs = x509.NewCertPool()
	conf.RootCAs.AddCert(root)
	conf.ServerName = root.DNSNames[0]
	c := tls.Client(raw, conf)
	if err := c.Handshake(); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	return body, err
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	root := certificate(t, cert, key, "a.test")
	l := open(t, Config{CertFile: cert, KeyFile: key})
	tlsServer(t, l)
	if body, err := askTLS(t, l, root, "", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}); err != nil || body != "true 127.0.0.1" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := askTLS(t, l, root, "", &tls.Config{NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client that speaks only HTTP/2 was let in")
	}
	if _, err := askTLS(t, l, root, "", &tls.Config{MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was let in")
	}

	proxied := open(t, Config{CertFile: cert, KeyFile: key, ProxyProtocol: true, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	tlsServer(t, proxied)
	if body, err := askTLS(t, proxied, root, "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n", &tls.Config{}); err != nil || body != "true 192.0.2.7" {
		t.Errorf("TLS behind PROXY: %q, %v", body, err)
	}
}

// TestSilentTLSClient: the server sets no timeout here, so what drops the client is
// the listener's bound on the handshake; others are served meanwhile.
func TestSilentTLSClient(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	root := certificate(t, cert, key, "a.test")
	l := open(t, Config{CertFile: cert, KeyFile: key, HeaderTimeout: time.Second})
	tlsServer(t, l)
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if body, err := askTLS(t, l, root, "", &tls.Config{}); err != nil || body != "true 127.0.0.1" {
		t.Errorf("%q, %v", body, err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent client was spoken to")
	}
}

func TestCertificatesAreLookedAtByTheTick(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	certificate(t, cert, key, "one.test")
	tick := make(chan time.Time)
	l := open(t, Config{CertFile: cert, KeyFile: key, Tick: tick})
	certificate(t, cert, key, "two.test")
	tick <- time.Time{}
	tick <- time.Time{} // taken only when the one before has been worked off
	if got := inUse(t, l); got != "two.test" {
		t.Errorf("after a tick: %s", got)
	}
}

func inUse(t *testing.T, l *Listener) string {
	t.Helper()
	c, err := l.keys.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.DNSNames[0]
}

func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	certificate(t, cert, key, "one.test")
	logs := &strings.Builder{}
	l := open(t, Config{CertFile: cert, KeyFile: key, Tick: make(chan time.Time), Log: slog.New(slog.NewTextHandler(logs, nil))})
	known := ""
	step := func(what, want string, reported, failed bool) {
		t.Helper()
		logs.Reset()
		known = l.look(known)
		if got := inUse(t, l); got != want {
			t.Errorf("%s: %s is in use, want %s", what, got, want)
		}
		if strings.Contains(logs.String(), "level=ERROR") != reported || (known != "") != failed {
			t.Errorf("%s: fault %q, log %q", what, known, logs)
		}
	}
	step("nothing changed", "one.test", false, false)
	certificate(t, cert, key, "two.test")
	step("both changed", "two.test", false, false)
	oldKey, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate(t, cert, key, "three.test")
	newKey, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, key, oldKey)
	step("the key is not there yet", "two.test", true, true)
	step("still not", "two.test", false, true)
	if err := l.Reload(); err == nil {
		t.Error("Reload says nothing of a pair that cannot be used")
	}
	write(t, key, newKey)
	step("the key has come", "three.test", false, false)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	step("a file is missing", "three.test", true, true)
	step("still missing", "three.test", false, true)
	certificate(t, cert, key, "four.test")
	step("it is back", "four.test", false, false)
	if err := open(t, Config{}).Reload(); err != nil {
		t.Errorf("a plain listener: %v", err)
	}
}

// TestCertificateFromOtherFiles: other files are followed only once they could be
// used; until then the ones before are.
func TestCertificateFromOtherFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	certificate(t, path("c1"), path("k1"), "one.test")
	certificate(t, path("c2"), path("k2"), "two.test")
	logs := &strings.Builder{}
	l := open(t, Config{CertFile: path("c1"), KeyFile: path("k1"), Tick: make(chan time.Time), Log: slog.New(slog.NewTextHandler(logs, nil))})
	check := func(what, want string) {
		t.Helper()
		if got := inUse(t, l); got != want {
			t.Errorf("%s: %s is in use, want %s", what, got, want)
		}
	}
	for _, bad := range [][2]string{{"c2", "k1"}, {"c2", "none"}, {"none", "k2"}} {
		err := l.SetCertificate(path(bad[0]), path(bad[1]))
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: the error %v names no file", bad, err)
		}
		check(fmt.Sprint(bad), "one.test")
	}
	certificate(t, path("c1"), path("k1"), "one-again.test")
	if known := l.look(""); known != "" {
		t.Errorf("after a pair that could not be used: %s", known)
	}
	check("the first files changed", "one-again.test")

	logs.Reset()
	if err := l.SetCertificate(path("c2"), path("k2")); err != nil {
		t.Error(err)
	}
	check("other files", "two.test")
	if !strings.Contains(logs.String(), "file="+path("c2")) {
		t.Errorf("the log does not name the new file: %s", logs)
	}
	certificate(t, path("c1"), path("k1"), "left.test")
	certificate(t, path("c2"), path("k2"), "two-again.test")
	if known := l.look(""); known != "" {
		t.Error(known)
	}
	check("the files left and the files in use changed", "two-again.test")

	if err := open(t, Config{}).SetCertificate(path("c2"), path("k2")); err == nil {
		t.Error("a listener without TLS took a certificate")
	}
}
