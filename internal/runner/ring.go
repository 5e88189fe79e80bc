package runner

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
)

// ring is a file that keeps the last size bytes of a stream. Its header says at any
// moment which bytes those are, so that it can be read after its writer was killed:
// `reserved` is moved before bytes are overwritten, `written` after.
//
//	0   size      of the stream that is kept, in bytes
//	8   reserved  bytes of the stream up to here may be in the file: those before reserved-size are gone
//	16  written   bytes of the stream up to here are in the file
//	64  byte n of the stream is at 64 + n mod size
type ring struct {
	path     string
	file     *os.File // nil until the first write
	size     int64
	written  int64
	reserved int64
}

const ringData = 64

func newRing(path string, size int64) *ring { return &ring{path: path, size: max(size, 1)} }

// write appends to the stream. It returns how many bytes of p it took.
func (r *ring) write(p []byte) (int, error) {
	if r.file == nil {
		f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return 0, err
		}
		r.file = f
	}
	var done int
	for done < len(p) {
		at := r.written % r.size
		part := p[done : done+int(min(int64(len(p)-done), r.size-at))]
		n, err := r.writePart(part, at)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// writePart writes bytes that do not cross the end of the file.
func (r *ring) writePart(p []byte, at int64) (int, error) {
	r.reserved = max(r.reserved, r.written+int64(len(p)))
	if err := r.writeHeader(); err != nil {
		return 0, err
	}
	atPoint("ring/reserved")
	n, err := r.file.WriteAt(p, ringData+at)
	r.written += int64(n)
	atPoint("ring/overwritten")
	return n, errors.Join(err, r.writeHeader())
}

func (r *ring) writeHeader() error {
	var h [24]byte
	binary.LittleEndian.PutUint64(h[0:], uint64(r.size))
	binary.LittleEndian.PutUint64(h[8:], uint64(r.reserved))
	binary.LittleEndian.PutUint64(h[16:], uint64(r.written))
	_, err := r.file.WriteAt(h[:], 0)
	return err
}

func (r *ring) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.file.Sync(), r.file.Close())
}

// readRing returns the parts of a ring file in the order of the stream, and how many
// bytes of the stream came before them. All are empty when the file was never written.
func readRing(f *os.File) (dropped int64, parts []*io.SectionReader, err error) {
	var h [24]byte
	if _, err := f.ReadAt(h[:], 0); errors.Is(err, io.EOF) {
		return 0, nil, nil
	} else if err != nil {
		return 0, nil, err
	}
	size := int64(binary.LittleEndian.Uint64(h[0:]))
	reserved := int64(binary.LittleEndian.Uint64(h[8:]))
	written := int64(binary.LittleEndian.Uint64(h[16:]))
	if size <= 0 || written < 0 || reserved < written || reserved-written > size {
		return 0, nil, &fs.PathError{Op: "read", Path: f.Name(), Err: errors.New("header makes no sense")}
	}
	dropped = max(0, reserved-size)
	for from := dropped; from < written; {
		at := from % size
		n := min(written-from, size-at)
		parts = append(parts, io.NewSectionReader(f, ringData+at, n))
		from += n
	}
	return dropped, parts, nil
}
