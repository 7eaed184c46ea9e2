package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// MutualTLS makes the configuration of both ends of a route from PEM: the
// certificates of the cluster's own authority, and this node's certificate with
// its key. Whoever shows a certificate of that authority is a peer, whatever it
// is made out to and whatever uses it names: peers come from DNS, by addresses that
// no certificate knows beforehand. So the authority must be one for this cluster
// alone. The error tells which of the three is wrong.
func MutualTLS(caPEM, certPEM, keyPEM []byte) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, errors.New("cannot use the authority's file: it has no certificate in PEM")
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate and its key: %w", err)
	}
	verify := func(s tls.ConnectionState) error { return verifyPeer(roots, s.PeerCertificates) }
	// What the others would refuse is said here, at the start.
	if err := verifyPeer(roots, chain(pair)); err != nil {
		return nil, fmt.Errorf("cannot use the certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		// The library would send only a certificate whose issuer the other end
		// names; this end has one, and the other refuses or not.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
		MinVersion:           tls.VersionTLS13,
		ClientAuth:           tls.RequireAnyClientCert,
		// Host names are not compared, which is all that this switches off:
		// VerifyConnection runs at both ends of every connection.
		InsecureSkipVerify:     true,
		VerifyConnection:       verify,
		SessionTicketsDisabled: true,
	}, nil
}

// chain parses what a node shows; the certificates are known to parse.
func chain(pair tls.Certificate) []*x509.Certificate {
	var list []*x509.Certificate
	for _, der := range pair.Certificate {
		if c, err := x509.ParseCertificate(der); err == nil {
			list = append(list, c)
		}
	}
	return list
}

func verifyPeer(roots *x509.CertPool, certificates []*x509.Certificate) error {
	if len(certificates) == 0 {
		return errors.New("no certificate was shown")
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, c := range certificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := certificates[0].Verify(o); err != nil {
		return fmt.Errorf("%s is not of the cluster's authority: %w", certificates[0].Subject, err)
	}
	return nil
}
