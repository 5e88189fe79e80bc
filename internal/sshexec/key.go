package sshexec

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// Key is a fleet's private key: it logs in to the instances, and their host keys and
// secrets are derived from it.
type Key struct {
	signer ssh.Signer
	// root is the private key as canonical bytes: the same for one key, whatever file
	// format it came in.
	root []byte
}

// Signer returns the key for New.
func (k *Key) Signer() ssh.Signer { return k.signer }

// ParseKey reads a private key without a passphrase, in OpenSSH's format or in PEM
// with PKCS#1, PKCS#8 or SEC 1: Ed25519, RSA or ECDSA.
func ParseKey(text []byte) (*Key, error) {
	raw, err := ssh.ParseRawPrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, errors.New("the private key has a passphrase, which nobody is here to type")
	case err != nil:
		return nil, fmt.Errorf("no private key in OpenSSH or PEM format: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, fmt.Errorf("a private key that can't be used: %w", err)
	}
	root, err := canonical(raw)
	if err != nil {
		return nil, err
	}
	return &Key{signer: signer, root: root}, nil
}

// canonical returns the secret part of a private key.
func canonical(raw any) ([]byte, error) {
	switch k := raw.(type) {
	case *ed25519.PrivateKey:
		return append([]byte("ed25519\x00"), k.Seed()...), nil
	case ed25519.PrivateKey:
		return append([]byte("ed25519\x00"), k.Seed()...), nil
	case *rsa.PrivateKey:
		if len(k.Primes) != 2 {
			return nil, fmt.Errorf("an RSA key with %d primes, not 2", len(k.Primes))
		}
		p, q := k.Primes[0], k.Primes[1] // files differ in their order
		if p.Cmp(q) > 0 {
			p, q = q, p
		}
		return ssh.Marshal(struct {
			Type string
			P, Q *big.Int
		}{"rsa", p, q}), nil
	case *ecdsa.PrivateKey:
		d, err := k.Bytes()
		if err != nil {
			return nil, fmt.Errorf("an ECDSA key that can't be used: %w", err)
		}
		return ssh.Marshal(struct {
			Type, Curve string
			D           []byte
		}{"ecdsa", k.Params().Name, d}), nil
	}
	return nil, fmt.Errorf("a private key of type %T; Ed25519, RSA and ECDSA are known", raw)
}

// LoadOrCreateKey reads a private key file, making one (Ed25519, mode 0600) when there
// is none. Several processes may do so at once: all return the same key.
func LoadOrCreateKey(file string) (*Key, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(file); err != nil {
			return nil, fmt.Errorf("make the SSH key %s: %w", file, err)
		}
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the SSH key: %w", err)
	}
	k, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("read the SSH key %s: %w", file, err)
	}
	return k, nil
}

// createKey writes a new key, complete or not at all, unless the file exists by then.
func createKey(file string) (err error) {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "drover")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, err = tmp.Write(pem.EncodeToMemory(block))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	// A rename would replace the key that another process has made meanwhile.
	if err := os.Link(tmp.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
