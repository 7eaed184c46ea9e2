package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// writePair makes NAME.pem and NAME.key in the working directory.
func writePair(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: cert},
		name + ".key": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCheckFiles has every kind of file as it should be, then spoils one after
// the other; testdata/faults/files.yaml has those that were never there.
func TestCheckFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	writePair(t, "a")
	writePair(t, "b")
	if err := os.WriteFile("secret", []byte("a secret that is long enough"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := mustParse(t, `
listen: {address: ":443", tls: {cert: a.pem, key: a.key}}
tiers: {disk: {path: not/yet/there, size: 1GiB}}
origins:
  shop: {servers: "https://127.0.0.1", tls: {ca: b.pem, cert: b.pem, key: b.key}}
policies: [{name: all, origin: shop}]
cluster: {node: n, listen: "127.0.0.1:4248", secret_file: secret, tls: {ca: a.pem, cert: b.pem, key: b.key}}
access_log: {file: access.log}
`)
	if faults := CheckFiles(cfg); len(faults) > 0 {
		t.Fatalf("faults in what is right:\n%v", faults)
	}
	for _, step := range []struct {
		spoil func() error
		want  string
	}{
		{func() error { return os.Rename("b.key", "a.key") }, `weir.yaml:2:39: listen.tls.cert: cannot use "a.pem" with "a.key": `},
		{func() error { return os.Truncate("a.pem", 0) }, `weir.yaml:7:77: cluster.tls.ca: there is no certificate in "a.pem"`},
		{func() error { return os.Truncate("secret", 0) }, `weir.yaml:7:59: cluster.secret_file: "secret" is empty`},
		{func() error { return os.Mkdir("access.log", 0o700) }, `weir.yaml:8:20: access_log.file: "access.log" is a directory`},
		{func() error { return os.WriteFile("not", nil, 0o600) }, `weir.yaml:3:22: tiers.disk.path: cannot look at "not/yet/there": not a directory`},
	} {
		if err := step.spoil(); err != nil {
			t.Fatal(err)
		}
		if got := CheckFiles(cfg).Error(); !strings.Contains("\n"+got, "\n"+step.want) {
			t.Errorf("want a line that begins %s in\n%s", step.want, got)
		}
	}
}
