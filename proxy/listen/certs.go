package listen

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxPEM bounds what is read of a certificate or key file: chains are a few KiB.
const maxPEM = 1 << 20

// keyPair is a certificate that follows its files. Their contents are compared,
// not their times: that costs two small reads every few seconds and misses
// nothing, whatever way the files were replaced.
type keyPair struct {
	current atomic.Pointer[tls.Certificate]

	mu                sync.Mutex // protects the fields below
	certFile, keyFile string
	cert, key         []byte // of current
}

func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current.Load(), nil }

// load reads the files and, if they are not those in use, takes the pair into use.
// A pair that does not fit (one file replaced, the other not yet) is an error
// until it does.
func (k *keyPair) load() (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.loadLocked(k.certFile, k.keyFile)
}

// use loads the pair from other files and follows those from now on. On error
// the files before are still the ones that are followed.
func (k *keyPair) use(certFile, keyFile string) (changed bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if changed, err = k.loadLocked(certFile, keyFile); err == nil {
		k.certFile, k.keyFile = certFile, keyFile
	}
	return changed, err
}

func (k *keyPair) loadLocked(certFile, keyFile string) (changed bool, err error) {
	cert, err := readPEM(certFile)
	if err != nil {
		return false, err
	}
	key, err := readPEM(keyFile)
	if err != nil {
		return false, err
	}
	if bytes.Equal(cert, k.cert) && bytes.Equal(key, k.key) {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("cannot use certificate %s with key %s: %w", certFile, keyFile, err)
	}
	k.cert, k.key = cert, key
	k.current.Store(&pair)
	return true, nil
}

// file is the certificate file that is followed.
func (k *keyPair) file() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.certFile
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read certificate: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read certificate: %w", err)
	}
	if len(b) > maxPEM {
		return nil, fmt.Errorf("cannot read certificate %s: %w", path, errors.New("longer than 1 MiB"))
	}
	return b, nil
}

// Reload looks at the certificate's files now. On error the certificate before
// stays in use. Without TLS it does nothing.
func (l *Listener) Reload() error {
	if l.keys == nil {
		return nil
	}
	changed, err := l.keys.load()
	l.tell(changed)
	return err
}

// SetCertificate takes the certificate from other files (PEM) and follows those
// from now on; connections already open keep what they have. On error, which
// names the files, nothing changes. It may be called while connections are
// accepted. A listener without TLS cannot be given a certificate.
func (l *Listener) SetCertificate(certFile, keyFile string) error {
	if l.keys == nil {
		return fmt.Errorf("cannot use certificate %s on %s: it was opened without TLS", certFile, l.Addr())
	}
	changed, err := l.keys.use(certFile, keyFile)
	l.tell(changed)
	return err
}

func (l *Listener) tell(changed bool) {
	if changed {
		l.conf.Log.Info("certificate reloaded", "address", l.Addr().String(), "file", l.keys.file())
	}
}

// follow reloads at every tick until Close.
func (l *Listener) follow() {
	defer l.wg.Done()
	tick := l.conf.Tick
	if tick == nil {
		t := time.NewTicker(DefaultReloadEvery)
		defer t.Stop()
		tick = t.C
	}
	for fault := ""; ; {
		select {
		case <-l.closed:
			return
		case <-tick:
		}
		fault = l.look(fault)
	}
}

// look reloads and logs a fault, but not the one that is known already: one that
// lasts for many ticks is logged once. It returns what is known now.
func (l *Listener) look(known string) string {
	err := l.Reload()
	switch {
	case err == nil:
		return ""
	case err.Error() != known:
		l.conf.Log.Error("cannot reload certificate, keeping the one in use", "address", l.Addr().String(), "error", err)
	}
	return err.Error()
}
