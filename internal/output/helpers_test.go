package output

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob/memblob"
)

var stream = Stream{Fleet: "default", Container: "c-1", Attempt: 1}

func fileStore(t *testing.T) (s *Store, directory string) {
	t.Helper()
	directory = filepath.Join(t.TempDir(), "made", "on open")
	s, err := Open(t.Context(), "file://"+filepath.ToSlash(directory))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, directory
}

func memStore(t *testing.T) *Store {
	t.Helper()
	s := &Store{bucket: memblob.OpenBucket(nil)}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// random returns a source whose seed is logged.
func random(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func randomBytes(r *rand.Rand, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// resume returns a writer that must go on at the offset.
func resume(t *testing.T, s *Store, offset int64) *Writer {
	t.Helper()
	w, got, err := s.Resume(t.Context(), stream)
	require.NoError(t, err)
	require.Equal(t, offset, got)
	return w
}

func write(t *testing.T, w *Writer, data []byte) {
	t.Helper()
	n, err := w.Write(data)
	require.NoError(t, err)
	require.Equal(t, len(data), n)
}

// stored is everything that a reader finds.
func stored(t *testing.T, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	next, err := s.Read(context.WithoutCancel(t.Context()), stream, &b, 0)
	require.NoError(t, err)
	require.Equal(t, int64(b.Len()), next)
	return b.Bytes()
}

// requireSame compares without printing megabytes.
func requireSame(t *testing.T, want, got []byte) {
	t.Helper()
	require.Equal(t, len(want), len(got))
	require.True(t, bytes.Equal(want, got), "the bytes differ")
}

func objects(t *testing.T, s *Store) int {
	t.Helper()
	prefix, err := stream.prefix()
	require.NoError(t, err)
	found, err := s.segments(t.Context(), prefix, 0)
	require.NoError(t, err)
	return len(found)
}

// breakStore makes every write of a file store fail until it is called back.
func breakStore(t *testing.T, directory string) (repair func()) {
	t.Helper()
	obstacle := filepath.Join(directory, stream.Fleet)
	aside := obstacle + "-aside"
	moved := os.Rename(obstacle, aside) == nil
	require.NoError(t, os.WriteFile(obstacle, nil, 0o600))
	return func() {
		require.NoError(t, os.Remove(obstacle))
		if moved {
			require.NoError(t, os.Rename(aside, obstacle))
		}
	}
}
