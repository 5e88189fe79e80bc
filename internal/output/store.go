// Package output keeps the output of containers in a blob store: a directory or a
// bucket. The output of one attempt of a container is one stream of bytes, stored in
// segments under
//
//	<fleet>/<container>/<attempt>/<first byte, 20 digits>-<number of bytes>-<instance>
//
// A segment is written whole or not at all, and never changed: its name says what it
// holds. Two writers of one stream, an old worker that was cut off and a new one,
// write the same bytes under other boundaries or under the same name, so segments may
// overlap, and a reader takes any that holds the byte it is at. A segment is deleted
// only when a longer one that holds all of it has been written.
package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://
	_ "gocloud.dev/blob/s3blob"   // s3://
	"gocloud.dev/gcerrors"
)

// Store is where output is kept. Its methods may be called concurrently.
type Store struct {
	bucket    *blob.Bucket
	directory string // of a file store without a prefix; else empty
}

// Open opens the store at a URL: file:///directory, which is made if it is missing,
// or s3://bucket, optionally followed by /prefix, with the parameters that
// gocloud.dev/blob/s3blob knows (region, endpoint, …). The context bounds opening
// only. Whether a bucket can be reached shows at its first use.
func Open(ctx context.Context, storeURL string) (*Store, error) {
	u, err := url.Parse(storeURL)
	if err != nil {
		return nil, fmt.Errorf("output store %q: is not a URL; allowed: file:///DIRECTORY or s3://BUCKET", storeURL)
	}
	s := &Store{}
	query := u.Query()
	switch {
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && filepath.IsAbs(u.Path):
		if !query.Has("prefix") {
			s.directory = filepath.Clean(u.Path)
		}
		query.Set("create_dir", "true")
		query.Set("no_tmp_dir", "true") // a rename from elsewhere may cross file systems
		query.Set("metadata", "skip")   // no second file per segment
	case u.Scheme == "s3" && u.Host != "":
		// The driver would ignore a path.
		if prefix := strings.Trim(u.Path, "/"); prefix != "" {
			query.Set("prefix", prefix+"/"+query.Get("prefix"))
		}
		u.Path = ""
	default:
		return nil, fmt.Errorf("output store %q: is not the URL of a store; allowed: file:///DIRECTORY or s3://BUCKET", storeURL)
	}
	u.RawQuery = query.Encode()
	if s.bucket, err = blob.OpenBucket(ctx, u.String()); err != nil {
		return nil, fmt.Errorf("output store %q: %w", storeURL, err)
	}
	return s, nil
}

// Check writes a small object, reads it and deletes it again, and returns the first
// error: an output store that does not work should be known before output is lost.
func (s *Store) Check(ctx context.Context) error {
	key := ".check-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	const text = "drover checks that it can write here"
	if err := s.bucket.WriteAll(ctx, key, []byte(text), nil); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	got, err := s.bucket.ReadAll(ctx, key)
	if err == nil && string(got) != text {
		err = fmt.Errorf("%d bytes were written, and others read", len(text))
	}
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := s.bucket.Delete(ctx, key); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// Close releases what the store holds. Writers must be closed first.
func (s *Store) Close() error {
	if err := s.bucket.Close(); err != nil {
		return fmt.Errorf("output store: close: %w", err)
	}
	return nil
}

// Attempts returns the numbers of a container's attempts that have output, in
// ascending order. None: an empty result.
func (s *Store) Attempts(ctx context.Context, fleet, container string) ([]int, error) {
	prefix, err := containerPrefix(fleet, container)
	if err != nil {
		return nil, err
	}
	objects, err := s.list(ctx, &blob.ListOptions{Prefix: prefix, Delimiter: "/"})
	if err != nil {
		return nil, fmt.Errorf("output of container %s: attempts: %w", container, err)
	}
	var attempts []int
	for _, o := range objects {
		name := strings.TrimSuffix(strings.TrimPrefix(o.Key, prefix), "/")
		if attempt, err := strconv.Atoi(name); err == nil && o.IsDir {
			attempts = append(attempts, attempt)
		}
	}
	slices.Sort(attempts)
	return attempts, nil
}

// Delete removes the output of all attempts of a container. Nothing there is no
// error. There must be no writer of it any more.
func (s *Store) Delete(ctx context.Context, fleet, container string) error {
	prefix, err := containerPrefix(fleet, container)
	if err != nil {
		return err
	}
	objects, err := s.list(ctx, &blob.ListOptions{Prefix: prefix})
	if err != nil {
		return fmt.Errorf("output of container %s: delete: %w", container, err)
	}
	for _, o := range objects {
		if err := s.remove(ctx, o.Key); err != nil {
			return fmt.Errorf("output of container %s: delete: %w", container, err)
		}
	}
	// The file driver leaves the directories behind.
	if s.directory != "" {
		if err := os.RemoveAll(filepath.Join(s.directory, filepath.FromSlash(prefix))); err != nil {
			return fmt.Errorf("output of container %s: delete: %w", container, err)
		}
	}
	return nil
}

// remove deletes an object. One that is gone already is no error.
func (s *Store) remove(ctx context.Context, key string) error {
	if err := s.bucket.Delete(ctx, key); err != nil && !isGone(err) {
		return err
	}
	return nil
}

func isGone(err error) bool {
	return gcerrors.Code(err) == gcerrors.NotFound || errors.Is(err, fs.ErrNotExist)
}
