package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdCert makes a self-signed certificate, so that no tool and no network is
// needed. The two files are replaced by renaming, as a careful operator would.
func cmdCert(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3, -1, "cert CERT KEY NAME...")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: args[2]}, DNSNames: args[2:],
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	writePEM(ts, args[0], "CERTIFICATE", cert)
	writePEM(ts, args[1], "PRIVATE KEY", raw)
}

func writePEM(ts *testscript.TestScript, name, kind string, data []byte) {
	path := ts.MkAbs(name)
	ts.Check(os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
	ts.Check(os.Rename(path+".new", path))
}

// cmdFlip damages files as a dying disk does: the sizes stay.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2, 2, "flip GLOB EVERY")
	every, err := strconv.Atoi(args[1])
	ts.Check(err)
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	flipped := 0
	for _, name := range files {
		info, err := os.Stat(name)
		ts.Check(err)
		if !info.Mode().IsRegular() {
			continue
		}
		data, err := os.ReadFile(name)
		ts.Check(err)
		for i := every / 2; i < len(data); i += every {
			data[i] ^= 0xff
			flipped++
		}
		ts.Check(os.WriteFile(name, data, info.Mode().Perm()))
	}
	if flipped == 0 {
		ts.Fatalf("nothing to damage in %q", args[0])
	}
}
