package output

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWritersThatAreCutOff lets workers die at random points while their successors
// go on, with a reader beside them.
func TestWritersThatAreCutOff(t *testing.T) {
	s, _ := fileStore(t)
	r := random(t)
	data := randomBytes(r, 1_200_000)
	ended := make(chan struct{})
	var reader, old sync.WaitGroup
	reader.Go(func() { requireFollow(t, s, data, ended) })
	for round, offset := 0, int64(0); offset < int64(len(data)); round++ {
		ctx, cancel := context.WithCancel(t.Context())
		w, from, err := s.Resume(ctx, stream)
		require.NoError(t, err)
		require.GreaterOrEqual(t, from, offset, "what was stored stays")
		n := min(int64(len(data)), from+1+r.Int64N(200_000))
		writeRandomly(t, w, rand.New(rand.NewPCG(uint64(round), 1)), data[from:n])
		offset = from
		if round%3 == 0 { // dies with what it has not stored
			cancel()
			continue
		}
		require.NoError(t, w.Flush(t.Context()))
		offset = n
		// Cut off from Temporal, not from the store: it goes on beside the next one.
		more := data[n:min(int64(len(data)), n+50_000)]
		random := rand.New(rand.NewPCG(uint64(round), 2))
		old.Go(func() {
			defer cancel()
			writeRandomly(t, w, random, more)
			require.NoError(t, w.Close(t.Context()))
		})
	}
	old.Wait()
	close(ended)
	reader.Wait()
	requireSame(t, data, stored(t, s))
}

// writeRandomly makes many small segments of data.
func writeRandomly(t *testing.T, w *Writer, r *rand.Rand, data []byte) {
	for len(data) > 0 {
		n := min(len(data), 1+r.IntN(4000))
		_, err := w.Write(data[:n])
		require.NoError(t, err)
		require.NoError(t, w.Flush(t.Context()))
		data = data[n:]
	}
}

// requireFollow reads on and on until the writers have ended and nothing is left, and
// compares.
func requireFollow(t *testing.T, s *Store, data []byte, ended <-chan struct{}) {
	var got bytes.Buffer
	for last := false; ; {
		offset := int64(got.Len())
		next, err := s.Read(t.Context(), stream, &got, offset)
		if err != nil || next != int64(got.Len()) {
			t.Errorf("read at byte %d: next %d of %d: %v", offset, next, got.Len(), err)
			return
		}
		if last {
			break
		}
		select {
		case <-ended:
			last = true
		default:
		}
	}
	if !bytes.Equal(data, got.Bytes()) {
		t.Errorf("the reader saw %d bytes that differ from the %d written", got.Len(), len(data))
	}
}

func TestManySmallSegmentsAreMerged(t *testing.T) {
	s, _ := fileStore(t)
	r := random(t)
	data := randomBytes(r, 75_000)
	ended := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { requireFollow(t, s, data, ended) })
	w := resume(t, s, 0)
	most := 0
	for i := 0; i < len(data); i += 50 {
		write(t, w, data[i:i+50])
		require.NoError(t, w.Flush(t.Context()))
		if i%5000 == 0 {
			most = max(most, objects(t, s))
		}
	}
	require.NoError(t, w.Close(t.Context()))
	close(ended)
	reader.Wait()
	requireSame(t, data, stored(t, s))
	requireReadFromAnywhere(t, s, data)
	require.Less(t, objects(t, s), 3*mergeCount, "of 1500 that were stored")
	t.Logf("at most %d segments while writing, %d in the end", most, objects(t, s))
}

func TestMergeThatACrashCutOff(t *testing.T) {
	s := memStore(t)
	prefix, err := stream.prefix()
	require.NoError(t, err)
	data := []byte("0123456789")
	for _, g := range []segment{{start: 0, end: 3}, {start: 3, end: 6}, {start: 0, end: 6}, {start: 5, end: 10}, {start: 6, end: 9}} {
		require.NoError(t, s.put(t.Context(), prefix, g, data[g.start:g.end]))
	}
	require.Equal(t, data, stored(t, s))
	w := resume(t, s, 10)
	write(t, w, []byte("abc"))
	require.NoError(t, w.Close(t.Context()))
	require.Equal(t, "0123456789abc", string(stored(t, s)))
	require.Equal(t, 3, objects(t, s), "0 to 6, 5 to 10, and abc")
}

func TestSegmentsThatDoNotCount(t *testing.T) {
	s, directory := fileStore(t)
	w := resume(t, s, 0)
	write(t, w, []byte("whole"))
	require.NoError(t, w.Close(t.Context()))
	for name, content := range map[string]string{
		"00000000000000000005-9":          "cut",   // by a power cut
		"00000000000000000005-4.1234.tmp": "four",  // by a crash
		"00000000000000000020-4":          "later", // behind a hole, and too long
		"00000000000000000030-5":          "later", // behind a hole
		"99999999999999999999-1":          "x",
		"5-5":                             "short",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(directory, "default", "c-1", "1", name), []byte(content), 0o600))
	}
	require.Equal(t, "whole", string(stored(t, s)))
	w = resume(t, s, 5)
	write(t, w, bytes.Repeat([]byte("."), 25))
	require.NoError(t, w.Close(t.Context()))
	require.Equal(t, "whole.........................later", string(stored(t, s)))
}

func TestReadSaysWhereItStopped(t *testing.T) {
	s := memStore(t)
	w := resume(t, s, 0)
	write(t, w, []byte("0123456789"))
	require.NoError(t, w.Close(t.Context()))
	next, err := s.Read(t.Context(), stream, &limitedBuffer{left: 4}, 3)
	require.ErrorIs(t, err, io.ErrShortWrite)
	require.Equal(t, int64(7), next)
}

// BenchmarkReadNothingNew is what each poll of logs -f costs.
func BenchmarkReadNothingNew(b *testing.B) {
	s, err := Open(b.Context(), "file://"+b.TempDir())
	require.NoError(b, err)
	prefix, err := stream.prefix()
	require.NoError(b, err)
	const segments = 300
	for i := range int64(segments) {
		require.NoError(b, s.put(b.Context(), prefix, segment{start: i, end: i + 1}, []byte("x")))
	}
	for b.Loop() {
		next, err := s.Read(b.Context(), stream, nil, segments)
		require.NoError(b, err)
		require.Equal(b, int64(segments), next)
	}
}

func TestAnAttemptOnAnotherInstanceReplacesTheOneOfItsNumber(t *testing.T) {
	s, _ := fileStore(t)
	on := func(instance, text string, from int64) {
		st := stream
		st.Instance = instance
		w, offset, err := s.Resume(t.Context(), st)
		require.NoError(t, err)
		require.Equal(t, from, offset)
		write(t, w, []byte(text))
		require.NoError(t, w.Close(t.Context()))
		tail, truncated, err := w.Tail(t.Context(), 4)
		require.NoError(t, err)
		require.Equal(t, text[len(text)-4:], string(tail))
		require.Equal(t, int64(len(text))+from > 4, truncated)
	}
	on("first-a", "what the first one has printed, and ", 0)
	on("first-a", "more of it", 36)
	require.Equal(t, "what the first one has printed, and more of it", string(stored(t, s)))
	on("second.", "the second one's", 0)
	on("second.", ", whole", 16)
	require.Equal(t, "the second one's, whole", string(stored(t, s)))
	require.Equal(t, 2, objects(t, s))
}

func TestOutputOfAnUnknownInstanceIsGoneOnWith(t *testing.T) {
	s, _ := fileStore(t)
	write := func(st Stream, from int64) {
		w, offset, err := s.Resume(t.Context(), st)
		require.NoError(t, err)
		require.Equal(t, from, offset)
		_, err = w.Write([]byte("12345"))
		require.NoError(t, err)
		require.NoError(t, w.Close(t.Context()))
	}
	known := stream
	known.Instance = "i-1"
	write(stream, 0) // as an earlier version did
	write(known, 5)
	require.Equal(t, "1234512345", string(stored(t, s)))
}
