package sshexec

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestLoadOrCreateKeyRace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state", "key")
	const workers = 16
	got := make(chan *Key, workers)
	errs := make(chan error, workers)
	for range workers {
		go func() {
			k, err := LoadOrCreateKey(file)
			errs <- err
			got <- k
		}()
	}
	for range workers {
		require.NoError(t, <-errs)
	}
	first := <-got
	for range workers - 1 {
		require.Equal(t, first.Signer().PublicKey(), (<-got).Signer().PublicKey())
	}
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode())
	require.Equal(t, []string{"key"}, names(t, filepath.Dir(file)))
}

func TestBadKeyFileIsOneLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"garbage":    {"hello\nworld\n", "no private key in OpenSSH or PEM format"},
		"empty":      {"", "no private key in OpenSSH or PEM format"},
		"passphrase": {lockedKey, "has a passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			_, err := LoadOrCreateKey(file)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, file)
			require.NotContains(t, err.Error(), "\n")
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, c.text, string(text), "it is never replaced")
		})
	}
}

func mustEd25519(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

func TestDerivedHostKeysAreGolden(t *testing.T) {
	t.Parallel()
	fleet := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	block, err := ssh.MarshalPrivateKey(fleet, "")
	require.NoError(t, err)
	k, err := ParseKey(pem.EncodeToMemory(block))
	require.NoError(t, err)
	private, public, err := k.HostKey("default-3f2a")
	require.NoError(t, err)
	secret, err := k.Secret("default-3f2a")
	require.NoError(t, err)
	// A change of these locks workers of another version out of running instances.
	require.Equal(t, goldenPublic, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))))
	require.Equal(t, goldenSecret, secret)
	require.Equal(t, goldenPrivate, private)

	signer, err := ssh.ParsePrivateKey([]byte(private))
	require.NoError(t, err)
	require.Equal(t, public, signer.PublicKey())
	_, other, err := k.HostKey("default-3f2b")
	require.NoError(t, err)
	require.NotEqual(t, public, other)
}

func TestOpenSSHReadsDerivedHostKeys(t *testing.T) {
	t.Parallel()
	keygen := needs(t, "ssh-keygen", "openssh-client")
	block, err := ssh.MarshalPrivateKey(mustEd25519(t), "")
	require.NoError(t, err)
	k, err := ParseKey(pem.EncodeToMemory(block))
	require.NoError(t, err)
	for _, name := range []string{"a", "ab", "abc", "abcd", "abcde", "abcdef", "abcdefg", "abcdefgh"} { // every padding
		private, public, err := k.HostKey(name)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "key")
		require.NoError(t, os.WriteFile(file, []byte(private), 0o600))
		out, err := exec.Command(keygen, "-y", "-f", file).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))+" "+name, strings.TrimSpace(string(out)))
	}
}

func TestDerivationIgnoresTheFileFormat(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	swapped := &rsa.PrivateKey{PublicKey: rsaKey.PublicKey, D: rsaKey.D}
	swapped.Primes = append(swapped.Primes, rsaKey.Primes[1], rsaKey.Primes[0])
	swapped.Precompute()
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	edKey := mustEd25519(t)
	openSSH := func(k any) []byte {
		b, err := ssh.MarshalPrivateKey(k, "")
		require.NoError(t, err)
		return pem.EncodeToMemory(b)
	}
	pkcs8 := func(k any) []byte {
		b, err := x509.MarshalPKCS8PrivateKey(k)
		require.NoError(t, err)
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
	for name, files := range map[string][][]byte{
		"rsa":     {pkcs1, pkcs8(rsaKey), openSSH(rsaKey), pkcs8(swapped)},
		"ecdsa":   {pkcs8(ecdsaKey), openSSH(ecdsaKey)},
		"ed25519": {pkcs8(edKey), openSSH(edKey)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first string
			for _, f := range files {
				k, err := ParseKey(f)
				require.NoError(t, err)
				private, _, err := k.HostKey("i")
				require.NoError(t, err)
				if first == "" {
					first = private
				}
				require.Equal(t, first, private)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "plain", "it's", "a b", "$HOME `id` \\ \"", "new\nline", "~", "*", "-n", "a=b", "ünï", "!"} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(s)).CombinedOutput()
		require.NoError(t, err)
		require.Equal(t, s, string(out))
	}
	require.Equal(t, "/usr/bin/x", Quote("/usr/bin/x"), "readable where it can be")
}
