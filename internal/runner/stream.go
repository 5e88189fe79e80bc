package runner

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// errForgotten: the output was there, and has been dropped.
var errForgotten = errors.New("its output has been forgotten")

// stream is the output of one container as a reader sees it: bytes that never change
// and only grow in number, so that an offset means the same bytes for ever. While
// the container may still write, it is the head; when it has ended, the head, a notice
// if the middle was dropped, and the tail.
type stream struct {
	rec  record
	head *os.File // nil: the container never started
}

// openStream opens the output of a container that is on record.
func openStream(rec record) (*stream, error) {
	f, err := os.Open(rec.path(outputFile))
	if err == nil {
		return &stream{rec: rec, head: f}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	res, done, err := rec.result()
	if err != nil {
		return nil, err
	}
	if done && res.NeverStarted {
		return &stream{rec: rec}, nil
	}
	return nil, errForgotten
}

// Close ends the reading.
func (s *stream) Close() error {
	if s.head == nil {
		return nil
	}
	return s.head.Close()
}

// copy writes the stream's bytes from offset on, as many as there are now, and
// returns their number.
func (s *stream) copy(w io.Writer, offset int64, ended bool) (int64, error) {
	if s.head == nil {
		return 0, nil
	}
	info, err := s.head.Stat()
	if err != nil {
		return 0, err
	}
	if !ended {
		return copyFrom(w, offset, io.NewSectionReader(s.head, 0, info.Size()))
	}
	tail, rest, err := s.rest()
	if err != nil {
		return 0, err
	}
	if tail != nil {
		defer release(tail)
	}
	parts := append([]sized{io.NewSectionReader(s.head, 0, info.Size())}, rest...)
	return copyFrom(w, offset, parts...)
}

// rest returns what follows the head when the container has ended, and the file that
// it is read from.
func (s *stream) rest() (*os.File, []sized, error) {
	res, _, err := s.rec.result()
	if err != nil {
		return nil, nil, err
	}
	var rest []sized
	tail, err := os.Open(s.rec.path(tailFile))
	switch {
	case err == nil:
		dropped, parts, err := readRing(tail)
		if err != nil {
			return nil, nil, errors.Join(err, tail.Close())
		}
		if dropped > 0 {
			rest = append(rest, strings.NewReader(droppedNotice(dropped)))
		}
		for _, p := range parts {
			rest = append(rest, p)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	default:
		// No tail: there never was one, or it was forgotten while this was being read.
		if _, err := os.Lstat(s.rec.path(outputFile)); err != nil {
			return nil, nil, fmt.Errorf("%w (%w)", errForgotten, err)
		}
	}
	if res.LostOutput > 0 {
		rest = append(rest, strings.NewReader(lostNotice(res.LostOutput, nil)))
	}
	return tail, rest, nil
}

// sized is a part of a stream.
type sized interface {
	io.ReadSeeker
	Size() int64
}

// copyFrom writes the concatenation of parts from offset on.
func copyFrom(w io.Writer, offset int64, parts ...sized) (int64, error) {
	var done int64
	for _, p := range parts {
		if offset >= p.Size() {
			offset -= p.Size()
			continue
		}
		if _, err := p.Seek(offset, io.SeekStart); err != nil {
			return done, err
		}
		offset = 0
		n, err := io.Copy(w, p)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
