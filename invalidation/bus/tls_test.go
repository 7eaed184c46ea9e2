package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority makes certificates for tests.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate that is valid until then, for a name that no address has.
func (a *authority) issue(name string, until time.Time) (certPEM, keyPEM []byte) {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: []string{name + ".example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// config is that of a node of this authority.
func (a *authority) config(name string) *tls.Config {
	a.t.Helper()
	cert, key := a.issue(name, time.Now().Add(time.Hour))
	c, err := MutualTLS(a.pem, cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// raw is a certificate of this authority with which nothing is verified: a peer that does not play by the rules.
func (a *authority) raw(name string) *tls.Config {
	a.t.Helper()
	cert, key := a.issue(name, time.Now().Add(time.Hour))
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{
		InsecureSkipVerify: true, ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{pair},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
}

// handshake tells what each end makes of the other; a byte goes both ways, since with TLS 1.3 a client learns of its refusal
// only when it reads.
func handshake(t *testing.T, server, client *tls.Config) (atServer, atClient error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	end := func(conn *tls.Conn) error {
		if err := conn.Handshake(); err != nil {
			_ = conn.NetConn().Close()
			return err
		}
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(s, server)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte{1})
		}
		_ = s.Close()
		done <- err
	}()
	atClient = end(tls.Client(c, client))
	return <-done, atClient
}

// TestMutualTLS: any certificate of the authority is a peer, under whatever name; everything else is refused by both ends.
func TestMutualTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "ours")
	if s, c := handshake(t, ours.config("n1"), ours.config("n2")); s != nil || c != nil {
		t.Errorf("two peers: %v, %v", s, c)
	}
	if s, _ := handshake(t, ours.config("n1"), theirs.raw("n2")); s == nil || !strings.Contains(s.Error(), "CN=n2 is not of the cluster's authority") {
		t.Errorf("a client of another authority: %v", s)
	}
	if s, _ := handshake(t, ours.config("n1"), &tls.Config{InsecureSkipVerify: true}); s == nil {
		t.Error("a client without a certificate was taken")
	}
	if _, c := handshake(t, theirs.raw("n1"), ours.config("n2")); c == nil || !strings.Contains(c.Error(), "CN=n1 is not of the cluster's authority") {
		t.Errorf("a server of another authority: %v", c)
	}
}

// TestMutualTLSFiles: what is wrong with the files is said at the start, and which one it is.
func TestMutualTLSFiles(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	cert, key := ours.issue("n1", time.Now().Add(time.Hour))
	old, oldKey := ours.issue("n1", time.Now().Add(-time.Minute))
	for _, c := range []struct {
		name          string
		ca, cert, key []byte
		says          string
	}{
		{"no authority", key, cert, key, "authority's file"},
		{"empty", nil, nil, nil, "authority's file"},
		{"the key of another", ours.pem, cert, oldKey, "certificate and its key"},
		{"another authority", theirs.pem, cert, key, "CN=n1 is not of the cluster's authority"},
		{"expired", ours.pem, old, oldKey, "expired"},
	} {
		if _, err := MutualTLS(c.ca, c.cert, c.key); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}
