package output

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFiveMegabytesInRandomPieces(t *testing.T) {
	for name, s := range map[string]*Store{"mem": memStore(t), "file": first(fileStore(t))} {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			data := randomBytes(r, 5_000_000)
			w := resume(t, s, 0)
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+r.IntN(100_000))
				write(t, w, rest[:n])
				rest = rest[n:]
				require.Equal(t, int64(len(data)-len(rest)), w.Offset())
				if r.IntN(20) == 0 {
					require.NoError(t, w.Flush(t.Context()))
					require.Equal(t, len(data)-len(rest), len(stored(t, s)))
				}
			}
			require.NoError(t, w.Close(t.Context()))
			requireSame(t, data, stored(t, s))
			requireReadFromAnywhere(t, s, data)
			require.NoError(t, resume(t, s, 5_000_000).Close(t.Context()))
		})
	}
}

func first[A, B any](a A, _ B) A { return a }

func requireReadFromAnywhere(t *testing.T, s *Store, data []byte) {
	t.Helper()
	r := random(t)
	for range 20 {
		from := r.Int64N(int64(len(data)) + 1)
		var b bytes.Buffer
		next, err := s.Read(t.Context(), stream, &b, from)
		require.NoError(t, err)
		require.Equal(t, int64(len(data)), next)
		requireSame(t, data[from:], b.Bytes())
	}
}

func TestOneWriteLargerThanMemory(t *testing.T) {
	s := memStore(t)
	data := randomBytes(random(t), 3*maxPending+17)
	w := resume(t, s, 0)
	write(t, w, data)
	require.NoError(t, w.Close(t.Context()))
	requireSame(t, data, stored(t, s))
}

func TestBytesAreStoredHalfASecondAfterTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memStore(t)
		w := resume(t, s, 0)
		for i := range 10 {
			write(t, w, []byte{byte(i)})
			<-time.After(flushDelay / 10) // of the bubble
			if i == 8 {
				synctest.Wait()
				require.Empty(t, stored(t, s), "one segment per write")
			}
		}
		synctest.Wait()
		require.Equal(t, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, stored(t, s))
		require.Equal(t, 1, objects(t, s))
		require.NoError(t, w.Close(t.Context()))
	})
}

func TestLatencyFromWriteToRead(t *testing.T) {
	s, _ := fileStore(t)
	w := resume(t, s, 0)
	began := time.Now()
	write(t, w, []byte("hi\n"))
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for len(stored(t, s)) == 0 {
		require.Less(t, time.Since(began), 5*time.Second)
		<-poll.C
	}
	require.Less(t, time.Since(began), time.Second)
	require.NoError(t, w.Close(t.Context()))
}

func TestAMegabyteIsStoredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memStore(t)
		w := resume(t, s, 0)
		write(t, w, make([]byte, flushSize))
		synctest.Wait()
		require.Len(t, stored(t, s), flushSize)
		require.NoError(t, w.Close(t.Context()))
	})
}

func TestStoreThatFailsForAWhileLosesNothing(t *testing.T) {
	s, directory := fileStore(t)
	synctest.Test(t, func(t *testing.T) {
		w := resume(t, s, 0)
		write(t, w, []byte("before "))
		require.NoError(t, w.Flush(t.Context()))
		repair := breakStore(t, directory)
		write(t, w, []byte("during "))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := w.Flush(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "output of container c-1, attempt 1: flush:")
		require.ErrorContains(t, err, "store 7 bytes at byte 7")
		repair()
		write(t, w, []byte("after"))
		<-time.After(retryMost + flushDelay) // of the bubble
		synctest.Wait()
		require.Equal(t, "before during after", string(stored(t, s)))
		require.NoError(t, w.Close(t.Context()))
	})
}

func TestWriteBlocksWhileTooMuchIsNotStored(t *testing.T) {
	s, directory := fileStore(t)
	synctest.Test(t, func(t *testing.T) {
		repair := breakStore(t, directory)
		w := resume(t, s, 0)
		data := randomBytes(random(t), maxPending+1)
		write(t, w, data[:maxPending])
		var blocked sync.WaitGroup
		ended := false
		blocked.Go(func() {
			_, err := w.Write(data[maxPending:])
			require.NoError(t, err)
			ended = true
		})
		<-time.After(10 * time.Second) // of the bubble
		require.Equal(t, int64(maxPending), w.Offset())
		repair()
		blocked.Wait()
		require.True(t, ended)
		require.NoError(t, w.Close(t.Context()))
		requireSame(t, data, stored(t, s))
	})
}

func TestContextThatEnds(t *testing.T) {
	s, directory := fileStore(t)
	synctest.Test(t, func(t *testing.T) {
		repair := breakStore(t, directory)
		ctx, cancel := context.WithCancel(t.Context())
		w, _, err := s.Resume(ctx, stream)
		require.NoError(t, err)
		write(t, w, make([]byte, maxPending))
		<-time.After(time.Second) // of the bubble
		time.AfterFunc(time.Second, cancel)
		_, err = w.Write([]byte("x")) // blocked until then
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "store 4194304 bytes at byte 0", "what the store said")
		require.ErrorIs(t, w.Flush(t.Context()), context.Canceled)
		repair()
		require.NoError(t, w.Close(t.Context()), "what was taken is stored nonetheless")
		require.Len(t, stored(t, s), maxPending)
		_, err = w.Write([]byte("x"))
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, w.Close(t.Context()), "again")
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	s, directory := fileStore(t)
	synctest.Test(t, func(t *testing.T) {
		defer breakStore(t, directory)()
		w := resume(t, s, 0)
		write(t, w, []byte("lost"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := w.Close(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "close: 4 bytes are not stored")
		require.ErrorContains(t, err, "store 4 bytes at byte 0")
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestTail(t *testing.T) {
	s := memStore(t)
	w := resume(t, s, 0)
	requireTail(t, w, 10, "", false)
	write(t, w, []byte("hello "))
	requireTail(t, w, 10, "hello ", false)
	require.NoError(t, w.Close(t.Context()))
	w = resume(t, s, 6)
	requireTail(t, w, 6, "hello ", false)
	write(t, w, []byte("world"))
	for range 2 { // half stored, all stored
		requireTail(t, w, 100, "hello world", false)
		requireTail(t, w, 11, "hello world", false)
		requireTail(t, w, 10, "ello world", true)
		requireTail(t, w, 3, "rld", true)
		requireTail(t, w, 0, "", true)
		require.NoError(t, w.Close(t.Context()))
	}
}

func requireTail(t *testing.T, w *Writer, n int, want string, truncated bool) {
	t.Helper()
	tail, more, err := w.Tail(t.Context(), n)
	require.NoError(t, err)
	require.Equal(t, want, string(tail))
	require.Equal(t, truncated, more)
}
