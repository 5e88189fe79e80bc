package output

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"

	"drover/internal/pause"
)

// maxSegment bounds the bytes in a segment, and with it how far before a byte the
// segment that holds it can begin.
const maxSegment = 8 << 20

// The pauses before looking again for what a merge has just replaced double, from
// goneFirst up to goneLast, or to goneBriefly where a writer that died may have left a hole.
const (
	goneFirst   = time.Millisecond
	goneBriefly = 10 * time.Millisecond
	goneLast    = 2 * time.Second
)

// Stream names the output of one attempt of a container. Fleet, Container and Instance
// consist of letters, digits and . _ ~ -, and Attempt is not negative.
type Stream struct {
	Fleet, Container string
	Attempt          int
	// Instance is where the attempt runs. A fleet that was created anew may count a
	// container's attempts from 1 again: on another instance, it is another attempt, and
	// what it writes replaces the first one's output. Empty, for readers: any.
	Instance string
}

func (st Stream) String() string {
	return fmt.Sprintf("output of container %s, attempt %d", st.Container, st.Attempt)
}

func (st Stream) prefix() (string, error) {
	prefix, err := containerPrefix(st.Fleet, st.Container)
	switch {
	case err != nil:
	case st.Attempt < 0:
		err = fmt.Errorf("%v: the attempt is negative", st)
	case st.Instance != "" && !safeID.MatchString(st.Instance):
		err = fmt.Errorf("%v: instance %q is not allowed: 1 to 200 letters, digits and . _ ~ -", st, st.Instance)
	}
	return prefix + strconv.Itoa(st.Attempt) + "/", err
}

var safeID = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,200}$`)

func containerPrefix(fleet, container string) (string, error) {
	for _, id := range []string{fleet, container} {
		if !safeID.MatchString(id) {
			return "", fmt.Errorf("output of container %q of fleet %q: an ID is not allowed: 1 to 200 letters, digits and . _ ~ -", container, fleet)
		}
	}
	return pathElement(fleet) + "/" + pathElement(container) + "/", nil
}

// pathElement makes an ID a path element that no driver escapes, or else listing
// would not find it: neither "..", nor one that ends in a dot, nor anything like
// __0x2f__. The plus sign is in no ID, so that two IDs never become the same.
func pathElement(id string) string {
	id = strings.ReplaceAll(id, "_0x", "_+0x")
	if strings.HasSuffix(id, ".") || strings.HasSuffix(id, ".attrs") {
		id += "+"
	}
	return id
}

// segment is the bytes from start up to, not including, end.
type segment struct {
	start, end int64
	level      int    // how often it was merged; see compact.go
	instance   string // of the attempt; "" is not known
}

func (g segment) name() string {
	name := fmt.Sprintf("%020d-%d", g.start, g.end-g.start)
	if g.instance == "" {
		return name
	}
	return name + "-" + pathElement(g.instance)
}

// of reports whether the segment is of the stream's attempt, as far as is known.
func (g segment) of(st Stream) bool {
	return g.instance == "" || st.Instance == "" || g.instance == st.Instance
}

func (g segment) covers(other segment) bool { return g.start <= other.start && other.end <= g.end }

var segmentName = regexp.MustCompile(`^([0-9]{20})-([0-9]{1,10})(?:-([A-Za-z0-9._~+-]+))?$`)

// parseSegment reads an object's name. An object that has not the size that its name
// says was cut off by a power cut, and does not count.
func parseSegment(name string, size int64) (segment, bool) {
	match := segmentName.FindStringSubmatch(name)
	if match == nil {
		return segment{}, false
	}
	start, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		return segment{}, false
	}
	length, err := strconv.ParseInt(match[2], 10, 64)
	if err != nil || length != size || length == 0 {
		return segment{}, false
	}
	return segment{start: start, end: start + length, instance: strings.ReplaceAll(match[3], "+", "")}, true
}

// segments lists those that hold bytes at or after an offset, by start, the longest
// first.
func (s *Store) segments(ctx context.Context, prefix string, from int64) ([]segment, error) {
	objects, err := s.list(ctx, &blob.ListOptions{Prefix: prefix, BeforeList: startAfter(from - maxSegment)})
	if err != nil {
		return nil, err
	}
	var found []segment
	for _, o := range objects {
		if g, ok := parseSegment(strings.TrimPrefix(o.Key, prefix), o.Size); ok && g.end > from {
			found = append(found, g)
		}
	}
	slices.SortFunc(found, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	return found, nil
}

// startAfter lets S3 skip the segments that begin before an offset. Other drivers
// list them all.
func startAfter(offset int64) func(asFunc func(any) bool) error {
	return func(asFunc func(any) bool) error {
		var in *s3.ListObjectsV2Input
		if offset > 0 && asFunc(&in) && in.Prefix != nil {
			after := fmt.Sprintf("%s%020d", *in.Prefix, offset)
			in.StartAfter = &after
		}
		return nil
	}
}

// list returns all objects that match. The file driver fails when a file goes away
// while it lists, which happens when segments are merged: it is asked again, later each
// time, since one merge takes away many files one by one.
func (s *Store) list(ctx context.Context, opts *blob.ListOptions) ([]*blob.ListObject, error) {
	for wait := goneFirst; ; wait *= 2 {
		objects, err := s.listOnce(ctx, opts)
		if err == nil || !isGone(err) || wait > goneLast || pause.For(ctx, wait) != nil {
			return objects, err
		}
	}
}

func (s *Store) listOnce(ctx context.Context, opts *blob.ListOptions) ([]*blob.ListObject, error) {
	var objects []*blob.ListObject
	iterator := s.bucket.List(opts)
	for {
		o, err := iterator.Next(ctx)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
}

// put stores a segment.
func (s *Store) put(ctx context.Context, prefix string, g segment, data []byte) error {
	return s.bucket.WriteAll(ctx, prefix+g.name(), data, &blob.WriterOptions{ContentType: "application/octet-stream"})
}
