package sshexec

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// HostKey returns the host key of an instance: the private key in OpenSSH's format,
// for the driver to place on it at creation, and the public one to verify it by. It
// depends on the fleet's key and the instance's name alone, down to the last byte:
// every worker can verify the very first connection, and a creation that is tried
// again asks for the same.
func (k *Key) HostKey(instance string) (private string, public ssh.PublicKey, err error) {
	seed, err := k.derive("drover ssh host key 1", instance)
	if err != nil {
		return "", nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	public, err = ssh.NewPublicKey(key.Public())
	if err != nil {
		return "", nil, fmt.Errorf("derive the host key of %s: %w", instance, err)
	}
	return marshalPrivate(key, public, instance), public, nil
}

// Secret returns the secret of an instance, 64 hexadecimal digits, derived like its
// host key.
func (k *Key) Secret(instance string) (string, error) {
	b, err := k.derive("drover instance secret 1", instance)
	return hex.EncodeToString(b), err
}

// derive returns 32 bytes for a purpose and an instance.
func (k *Key) derive(purpose, instance string) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, k.root, nil, purpose+"\x00"+instance, 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key of %s: %w", instance, err)
	}
	return b, nil
}

// marshalPrivate writes a private key as OpenSSH's PROTOCOL.key says, without a
// passphrase. ssh.MarshalPrivateKey draws the check number at random; here it comes
// from the public key.
func marshalPrivate(key ed25519.PrivateKey, public ssh.PublicKey, comment string) string {
	pub := key.Public().(ed25519.PublicKey)
	var check [4]byte
	sum := sha256.Sum256(pub)
	copy(check[:], sum[:])
	block := ssh.Marshal(struct {
		Check1, Check2 [4]byte
		Type           string
		Pub, Priv      []byte
		Comment        string
	}{check, check, ssh.KeyAlgoED25519, pub, key, comment})
	for pad := byte(1); len(block)%8 != 0; pad++ {
		block = append(block, pad)
	}
	body := ssh.Marshal(struct {
		Cipher, KDF, KDFOptions string
		Keys                    uint32
		Public, Private         []byte
	}{"none", "none", "", 1, public.Marshal(), block})
	return string(pem.EncodeToMemory(&pem.Block{
		Type:  "OPENSSH PRIVATE KEY",
		Bytes: append([]byte("openssh-key-v1\x00"), body...),
	}))
}
