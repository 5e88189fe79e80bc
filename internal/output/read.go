package output

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"drover/internal/pause"
)

// Read copies what is stored of a stream, from an offset on, to w, and returns the
// offset after the last byte that it copied, also with an error: where to go on. When
// nothing new is stored that is the offset given, at the cost of one list request. An
// offset below 0 is an error.
func (s *Store) Read(ctx context.Context, stream Stream, w io.Writer, offset int64) (next int64, err error) {
	prefix, err := stream.prefix()
	if err != nil {
		return offset, err
	}
	if offset < 0 {
		return offset, fmt.Errorf("%v: offset %d is negative", stream, offset)
	}
	// Between listing and reading, a merge may replace what was listed.
	for wait := goneFirst; ; wait *= 2 {
		before := offset
		segments, err := s.segments(ctx, prefix, offset)
		segments = slices.DeleteFunc(segments, func(g segment) bool { return !g.of(stream) })
		if err == nil {
			offset, err = s.copySegments(ctx, prefix, w, segments, offset)
		}
		if offset > before {
			wait = goneFirst
		}
		last := wait > goneBriefly
		switch {
		case err == nil && !beyond(segments, offset):
			return offset, nil
		case err != nil && (!isGone(err) || last):
			return offset, fmt.Errorf("%v: read at byte %d: %w", stream, offset, err)
		case last: // a hole, which a writer that resumes will fill
			return offset, nil
		}
		if pauseErr := pause.For(ctx, wait); pauseErr != nil {
			return offset, fmt.Errorf("%v: read at byte %d: %w", stream, offset, pauseErr)
		}
	}
}

// beyond says whether segments are left that begin after an offset: what lies between
// must have been merged while it was listed.
func beyond(segments []segment, offset int64) bool {
	return len(segments) > 0 && segments[len(segments)-1].start > offset
}

// copySegments copies contiguous bytes from segments, sorted by start.
func (s *Store) copySegments(ctx context.Context, prefix string, w io.Writer, segments []segment, offset int64) (int64, error) {
	for _, g := range contiguous(segments, offset) {
		r, err := s.bucket.NewRangeReader(ctx, prefix+g.name(), offset-g.start, g.end-offset, nil)
		if err != nil {
			return offset, err
		}
		n, err := io.Copy(w, r)
		offset += n
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
		if err == nil && offset < g.end {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return offset, err
		}
	}
	return offset, nil
}

// contiguous returns the fewest segments, of those sorted by start, that hold every
// byte from an offset up to the first hole.
func contiguous(segments []segment, offset int64) []segment {
	var chain []segment
	for len(segments) > 0 {
		best := segment{end: offset}
		for len(segments) > 0 && segments[0].start <= offset {
			if segments[0].end > best.end {
				best = segments[0]
			}
			segments = segments[1:]
		}
		if best.end == offset {
			break
		}
		chain = append(chain, best)
		offset = best.end
	}
	return chain
}

// readRange returns the stored bytes from start up to end. Fewer are an error.
func (s *Store) readRange(ctx context.Context, stream Stream, start, end int64) ([]byte, error) {
	if start >= end {
		return nil, nil
	}
	buffer := &limitedBuffer{left: end - start}
	next, err := s.Read(ctx, stream, buffer, start)
	if err != nil && buffer.left > 0 {
		return nil, err
	}
	if buffer.left > 0 {
		return nil, fmt.Errorf("%v: bytes %d to %d are not stored: %w", stream, next, end, io.ErrUnexpectedEOF)
	}
	return buffer.taken.Bytes(), nil
}

// limitedBuffer refuses more bytes than it was told to take.
type limitedBuffer struct {
	taken bytes.Buffer // not embedded: its ReadFrom knows no limit
	left  int64
}

// Write takes what fits; io.ErrShortWrite then ends the copying.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	n := min(int64(len(p)), b.left)
	b.left -= n
	b.taken.Write(p[:n])
	if n < int64(len(p)) {
		return int(n), io.ErrShortWrite
	}
	return int(n), nil
}
