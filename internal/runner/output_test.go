package runner

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// expected is the stream of an ended container that wrote data under a bound.
func expected(data []byte, limit int64) []byte {
	if int64(len(data)) <= limit {
		return data
	}
	head, tail := data[:limit/2], data[int64(len(data))-(limit-limit/2):]
	notice := droppedNotice(int64(len(data)) - limit)
	return slices.Concat(head, []byte(notice), tail)
}

func TestOutputIsWhatWasWrittenWithinTheBound(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, outputFile), nil, 0o600))
		limit := rapid.Int64Range(2, 200).Draw(t, "limit")
		out, err := openOutput(dir, limit)
		require.NoError(t, err)
		s, err := openStream(record{id: "c", dir: dir})
		require.NoError(t, err)
		defer release(s)
		var all, followed []byte
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 150), 0, 8).Draw(t, "writes") {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(len(all) + i)
			}
			out.write(p)
			all = append(all, p...)
			var live bytes.Buffer
			_, err := s.copy(&live, int64(len(followed)), false)
			require.NoError(t, err)
			followed = append(followed, live.Bytes()...)
			require.Equal(t, string(all[:min(int64(len(all)), limit/2)]), string(followed), "the head is live")
		}
		missing, err := out.close()
		require.NoError(t, err)
		require.Zero(t, missing)
		want := expected(all, limit)
		offset := rapid.Int64Range(0, int64(len(want))+3).Draw(t, "offset")
		var got bytes.Buffer
		_, err = s.copy(&got, offset, true)
		require.NoError(t, err)
		require.Equal(t, string(want[min(offset, int64(len(want))):]), got.String())
	})
}

func TestRingOfAKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tail")
	r := newRing(path, 10)
	_, err := r.write([]byte("0123456789abc"))
	require.NoError(t, err)
	// Killed after three more bytes were announced, and two of them overwritten.
	r.reserved += 3
	require.NoError(t, r.writeHeader())
	_, err = r.file.WriteAt([]byte("XX"), ringData+3)
	require.NoError(t, err)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	dropped, parts, err := readRing(f)
	require.NoError(t, err)
	var got strings.Builder
	for _, p := range parts {
		_, err := io.Copy(&got, p)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 6, dropped)
	assert.Equal(t, "6789abc", got.String(), "nothing that may be overwritten")
}

func FuzzReadRing(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 10))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "tail")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		file, err := os.Open(path)
		require.NoError(t, err)
		defer file.Close()
		dropped, parts, err := readRing(file)
		if err == nil {
			require.GreaterOrEqual(t, dropped, int64(0))
			require.LessOrEqual(t, len(parts), 2)
		}
	})
}

func FuzzParseSpec(f *testing.F) {
	f.Add([]byte(`{"command":["true"],"timeout":"1h"}`))
	f.Add([]byte(`{"command":[""],"env":{"":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := ParseSpec(data)
		if err != nil {
			require.NotContains(t, clip(err.Error()), "\n")
			return
		}
		require.NotEmpty(t, spec.Command[0])
		require.Positive(t, spec.OutputLimit)
		again, err := ParseSpec([]byte(specJSON(spec)))
		require.NoError(t, err)
		require.Equal(t, specJSON(spec), specJSON(again))
	})
}

func TestOffsetsOfABoundedOutput(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	spec := Spec{Command: []string{"sh", "-c", "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i >&$((i%2+1)); done"}, OutputLimit: 4001}
	h.ok(specJSON(spec), "start", "c")
	require.Zero(t, h.wait("c").ExitCode)
	var all strings.Builder
	for i := 1; i <= 2000; i++ {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	want := string(expected([]byte(all.String()), 4001))
	assert.Equal(t, want, h.ok("", "logs", "c"))
	assert.Equal(t, want, h.ok("", "logs", "c", "--follow"))
	for _, offset := range []int{1, 1999, 2000, 2001, 2020, 3000, len(want) - 1, len(want), len(want) + 5} {
		assert.Equal(t, want[min(offset, len(want)):], h.ok("", "logs", "c", "--offset", fmt.Sprint(offset)))
	}
}

// follower is a running `logs --follow`.
func follow(h *host, args ...string) (io.Reader, func() error) {
	cmd := h.command("", append([]string{"logs", "c", "--follow"}, args...)...)
	out, err := cmd.StdoutPipe()
	require.NoError(h.t, err)
	require.NoError(h.t, cmd.Start())
	return out, cmd.Wait
}

func TestFollow(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	fifo := filepath.Join(h.root, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	h.ok(shell("exec cat "+fifo), "start", "c")
	out, wait := follow(h)
	late, lateWait := follow(h, "--offset", "3")
	in, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	require.NoError(t, err)
	for range 20 {
		_, err := in.WriteString("0123456789")
		require.NoError(t, err)
		got := make([]byte, 10)
		_, err = io.ReadFull(out, got) // the same bytes, before there are more
		require.NoError(t, err)
		require.Equal(t, "0123456789", string(got))
	}
	assert.Equal(t, strings.Repeat("0123456789", 20), h.ok("", "logs", "c"))
	require.NoError(t, in.Close())
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	assert.Empty(t, rest)
	require.NoError(t, wait())
	rest, err = io.ReadAll(late)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("0123456789", 20)[3:], string(rest))
	require.NoError(t, lateWait())
}

func TestFollowersOfADeadSupervisorEnd(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ready := filepath.Join(h.root, "ready")
	h.ok(shell("echo hello; echo $$ >"+ready+"; exec sleep 100"), "start", "c")
	h.await(ready)
	out, wait := follow(h)
	hello := make([]byte, 6)
	_, err := io.ReadFull(out, hello)
	require.NoError(t, err)
	h.killSupervisor("c")
	h.ok("", "kill", "c")
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	assert.Empty(t, rest)
	require.NoError(t, wait())
}

func TestNobodyWaitsForNobody(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.ok(shell("exec sleep 100"), "start", "c")
	for _, args := range [][]string{{"wait", "c"}, {"logs", "c", "--follow"}} {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		cmd := h.command("", args...)
		cmd.Stdout = w
		require.NoError(t, cmd.Start())
		require.NoError(t, w.Close())
		require.NoError(t, r.Close()) // as sshd does when the connection is lost
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			assert.Error(t, err)
			assert.Equal(t, ExitFailed, cmd.ProcessState.ExitCode(), args)
		case <-time.After(patience):
			t.Error("still there:", args)
			require.NoError(t, cmd.Process.Kill())
			assert.Error(t, <-ended)
		}
	}
	assert.Equal(t, "c\n", h.ok("", "list"), "the container goes on")
}

func TestSupervisorLetsGoOfWhatStartInherited(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd := h.command(shell("exec sleep 100"), "start", "c")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = w, w, []*os.File{w}
	require.NoError(t, cmd.Run())
	require.NoError(t, w.Close())
	require.NoError(t, r.SetReadDeadline(time.Now().Add(10*time.Second)))
	rest, err := io.ReadAll(r)
	assert.NoError(t, err, "an SSH session would stay open")
	assert.Empty(t, rest)
	assert.Equal(t, "c\n", h.ok("", "list"))
}

func TestWatchingWithoutInotify(t *testing.T) {
	t.Parallel()
	w := newWatcher(record{id: "c", dir: filepath.Join(t.TempDir(), "of a file system without events")}, nil)
	defer w.close()
	before := time.Now()
	require.NoError(t, w.wait(time.Hour))
	assert.Less(t, time.Since(before), safetyInterval/2, "it polls")
	require.NoError(t, w.wait(0))
}
