package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	nodeLife      = 2 * 365 * 24 * time.Hour
	clockSkew     = time.Hour
)

// signed is a certificate with its key.
type signed struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem, keyPEM []byte
}

// newAuthority makes a certificate authority of its own for one cluster.
func newAuthority(now time.Time) (signed, error) {
	return certify(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "Sluice cluster"},
		NotAfter: now.Add(authorityLife), NotBefore: now.Add(-clockSkew),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
}

// sign makes the certificate of a node, with which it is known to clients and, as route, to
// the other nodes, and asks these in turn.
func (a signed) sign(node, route string, now time.Time) (signed, error) {
	return certify(&x509.Certificate{
		Subject:  pkix.Name{CommonName: node},
		DNSNames: []string{node, route, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotAfter: now.Add(nodeLife), NotBefore: now.Add(-clockSkew),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &a)
}

// certify signs template with the key of by, or with its own.
func certify(template *x509.Certificate, by *signed) (signed, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signed{}, fmt.Errorf("make a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return signed{}, fmt.Errorf("make a serial number: %w", err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return signed{}, fmt.Errorf("certify %s: %w", template.Subject.CommonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return signed{}, fmt.Errorf("certify %s: %w", template.Subject.CommonName, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return signed{}, fmt.Errorf("encode the key of %s: %w", template.Subject.CommonName, err)
	}
	return signed{
		certificate: certificate, key: key,
		pem:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		keyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}
