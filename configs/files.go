package configs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// fileKind is what a file that the configuration names must be.
type fileKind uint8

const (
	fileKeyPair   fileKind = iota // a certificate and its key
	fileCA                        // at least one certificate
	fileSecret                    // readable and not empty
	fileAppend                    // can be made or is a file
	fileDirectory                 // can be made or is a directory
)

// fileRef is a file that the configuration names, and where.
type fileRef struct {
	kind  fileKind
	value value
	path  string
	// keyValue and key are the second file of fileKeyPair.
	keyValue value
	key      string
}

func (d *decoder) refer(f fileRef) {
	f.value, f.keyValue = f.value.placed(), f.keyValue.placed()
	d.files = append(d.files, f)
}

// CheckFiles looks at the files that a Config from Parse or Load names, and
// reports those that cannot serve: certificates and keys that cannot be read or
// do not belong together, a secret that is missing, directories that are files.
// It writes nothing.
func CheckFiles(cfg *Config) Faults {
	d := &decoder{file: cfg.file}
	for _, f := range cfg.files {
		f.value.d, f.keyValue.d = d, d
		f.check()
	}
	return d.faults.Sorted()
}

func (f fileRef) check() {
	switch f.kind {
	case fileKeyPair:
		certOK := readable(f.value, f.path, "a PEM file with the certificate chain")
		keyOK := readable(f.keyValue, f.key, "a PEM file with the private key")
		if !certOK || !keyOK {
			return
		}
		if _, err := tls.LoadX509KeyPair(f.path, f.key); err != nil {
			f.value.fault("a PEM file with the certificate chain, and its key", "cannot use %s with %s: %v", quote(f.path), quote(f.key), err)
		}
	case fileCA:
		const valid = "a PEM file with certificates"
		if readable(f.value, f.path, valid) {
			// The error was just seen to be nil.
			pem, _ := os.ReadFile(f.path)
			if !x509.NewCertPool().AppendCertsFromPEM(pem) {
				f.value.fault(valid, "there is no certificate in %s", quote(f.path))
			}
		}
	case fileSecret:
		checkSecretFile(f.value, f.path)
	case fileAppend:
		if info, err := os.Stat(f.path); err == nil && info.IsDir() {
			f.value.fault("the name of a file", "%s is a directory", quote(f.path))
		} else if parent, err := os.Stat(filepath.Dir(f.path)); err != nil || !parent.IsDir() {
			f.value.fault("a file in a directory that exists", "there is no directory %s", quote(filepath.Dir(f.path)))
		}
	case fileDirectory:
		info, err := os.Stat(f.path)
		switch {
		case err == nil && !info.IsDir():
			f.value.fault("a directory, which is made when it is not there", "%s is a file", quote(f.path))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			f.value.fault("a directory, which is made when it is not there", "cannot look at %s: %v", quote(f.path), reason(err))
		}
	}
}

// readable reports when a file cannot be read whole.
func readable(v value, path, valid string) bool {
	// Looked at before it is opened: opening a named pipe would wait.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		v.fault(valid, "%s is not a regular file", quote(path))
		return false
	}
	if err == nil {
		var file *os.File
		if file, err = os.Open(path); err == nil {
			file.Close()
		}
	}
	if err != nil {
		v.fault(valid, "cannot read %s: %v", quote(path), reason(err))
	}
	return err == nil
}

// reason drops the path that a fault names already.
func reason(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}
