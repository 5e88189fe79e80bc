package output

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenRefuses(t *testing.T) {
	for _, u := range []string{"", "mem://", "/srv/out", "file://srv/out", "file:out", "s3://", "http://x/y", "%zz"} {
		_, err := Open(t.Context(), u)
		require.ErrorContains(t, err, "allowed: file:///DIRECTORY or s3://BUCKET", u)
	}
	_, err := Open(t.Context(), "file:///tmp?colour=red")
	require.ErrorContains(t, err, `invalid query parameter "colour"`)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(t.Context(), "file://"+file)
	require.ErrorContains(t, err, "is not a directory")
}

func TestIDsThatDriversWouldEscape(t *testing.T) {
	s, directory := fileStore(t)
	ids := []string{"a~b.c_d-E", ".", "..", "...", "a..", "~", "c.attrs", "__0x2f__", "___0x2e__", "a.", "a", ".tmp"}
	for i, id := range ids {
		st := Stream{Fleet: "f~1.x", Container: id, Attempt: i}
		w, offset, err := s.Resume(t.Context(), st)
		require.NoError(t, err)
		require.Zero(t, offset, id)
		write(t, w, []byte(id))
		require.NoError(t, w.Close(t.Context()))
	}
	for i, id := range ids {
		var b bytes.Buffer
		_, err := s.Read(t.Context(), Stream{Fleet: "f~1.x", Container: id, Attempt: i}, &b, 0)
		require.NoError(t, err)
		require.Equal(t, id, b.String())
		attempts, err := s.Attempts(t.Context(), "f~1.x", id)
		require.NoError(t, err)
		require.Equal(t, []int{i}, attempts, id)
	}
	require.Len(t, files(t, directory), len(ids), "no file beside the segments")
	for _, id := range ids {
		require.NoError(t, s.Delete(t.Context(), "f~1.x", id))
	}
	require.Empty(t, files(t, directory))
	for _, id := range []string{"", "a/b", "a+", "é", "a b", strings.Repeat("a", 201)} {
		_, _, err := s.Resume(t.Context(), Stream{Fleet: "f", Container: id})
		require.ErrorContains(t, err, "an ID is not allowed")
		require.ErrorContains(t, s.Delete(t.Context(), id, "c"), "an ID is not allowed")
	}
	_, err := s.Read(t.Context(), Stream{Fleet: "f", Container: "c", Attempt: -1}, nil, 0)
	require.ErrorContains(t, err, "the attempt is negative")
	_, err = s.Read(t.Context(), stream, nil, -1)
	require.ErrorContains(t, err, "offset -1 is negative")
}

func files(t *testing.T, directory string) []string {
	t.Helper()
	var found []string
	require.NoError(t, filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, path)
		}
		return err
	}))
	return found
}

func TestAttemptsAndDeleteKeepToOneContainer(t *testing.T) {
	s, _ := fileStore(t)
	for _, st := range []Stream{{"f", "c", 2, "i"}, {"f", "c", 10, "i"}, {"f", "c", 1, ""}, {"f", "c2", 1, "i"}, {"g", "c", 3, "i"}} {
		w, _, err := s.Resume(t.Context(), st)
		require.NoError(t, err)
		write(t, w, []byte("x"))
		require.NoError(t, w.Close(t.Context()))
	}
	requireAttempts := func(fleet, container string, want ...int) {
		t.Helper()
		got, err := s.Attempts(t.Context(), fleet, container)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	requireAttempts("f", "c", 1, 2, 10)
	require.NoError(t, s.Delete(t.Context(), "f", "c"))
	requireAttempts("f", "c")
	requireAttempts("f", "c2", 1)
	requireAttempts("g", "c", 3)
	require.NoError(t, s.Delete(t.Context(), "f", "c"), "nothing there")
}

func TestReadOfNothing(t *testing.T) {
	s, _ := fileStore(t)
	var b bytes.Buffer
	for _, offset := range []int64{0, 7} {
		next, err := s.Read(t.Context(), stream, &b, offset)
		require.NoError(t, err)
		require.Equal(t, offset, next)
	}
	require.Zero(t, b.Len())
}

// TestS3ListsFromTheOffsetOn checks the requests: one list, from a start position.
func TestS3ListsFromTheOffsetOn(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	var requests []url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests = append(requests, r.URL.Query())
		w.Header().Set("Content-Type", "application/xml")
		if _, err := w.Write([]byte(`<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>`)); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	s, err := Open(t.Context(), "s3://b/some/prefix?region=eu-west-1&use_path_style=true&endpoint="+url.QueryEscape(server.URL))
	require.NoError(t, err)
	for _, offset := range []int64{5, maxSegment + 5} {
		next, err := s.Read(t.Context(), stream, nil, offset)
		require.NoError(t, err)
		require.Equal(t, offset, next)
	}
	require.Len(t, requests, 2)
	require.Equal(t, "some/prefix/default/c-1/1/", requests[0].Get("prefix"))
	require.Empty(t, requests[0].Get("start-after"))
	require.Equal(t, "some/prefix/default/c-1/1/00000000000000000005", requests[1].Get("start-after"))
	require.NoError(t, s.Close())
}

func TestCheckFindsAStoreThatDoesNotWork(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), "file://"+dir)
	require.NoError(t, err)
	require.NoError(t, s.Check(t.Context()))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // a file where the directory was
	require.Error(t, s.Check(t.Context()))
}
