package output

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestListingBesideADeletion lists while a merge deletes its parts, in the order in
// which they are listed: each look stops at the next one that has just gone.
func TestListingBesideADeletion(t *testing.T) {
	s, directory := fileStore(t)
	prefix, err := stream.prefix()
	require.NoError(t, err)
	parts := make([]segment, 3000)
	whole := segment{start: 0, end: int64(len(parts))}
	require.NoError(t, s.put(t.Context(), prefix, whole, make([]byte, len(parts))))
	for i := range parts {
		parts[i] = segment{start: int64(i), end: int64(i) + 1}
		path := filepath.Join(directory, filepath.FromSlash(prefix), parts[i].name())
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	}
	deleted := make(chan struct{})
	go func() {
		defer close(deleted)
		for _, g := range parts {
			if err := s.remove(t.Context(), prefix+g.name()); err != nil {
				t.Error(err)
			}
		}
	}()
	for going := true; going; {
		select {
		case <-deleted:
			going = false
		default:
		}
		found, err := s.segments(t.Context(), prefix, 0)
		require.NoError(t, err)
		require.Equal(t, whole, found[0])
	}
}
