package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
)

// plainAtMost and PlainBytes are up to how many containers, and how many bytes of JSON,
// what a fleet carries over stays readable.
const (
	plainAtMost = 1000
	PlainBytes  = 256 << 10
)

// Pack returns the same in fewer bytes if it is long, and nil if it is not. The input of a
// workflow may have 2 MB, and 50,000 queued containers have 8 MB of JSON.
func (c FleetCarried) Pack() ([]byte, error) {
	if len(c.Queue) <= plainAtMost {
		plain, err := json.Marshal(c)
		if err != nil || len(plain) <= PlainBytes {
			return nil, err
		}
	}
	long := packed{Queue: toColumns(c.Queue)}
	c.Queue = nil
	long.Rest = c
	plain, err := json.Marshal(long)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// packed is what Pack encodes.
type packed struct {
	Rest  FleetCarried `json:"rest"`
	Queue columns      `json:"queue"`
}

// Unpack returns what Pack has packed.
func Unpack(in []byte) (FleetCarried, error) {
	var long packed
	var plain []byte
	r, err := gzip.NewReader(bytes.NewReader(in))
	if err == nil {
		plain, err = io.ReadAll(r)
	}
	if err == nil {
		err = json.Unmarshal(plain, &long)
	}
	if err != nil {
		return FleetCarried{}, fmt.Errorf("what the fleet's last run has left can't be read: %w", err)
	}
	long.Rest.Queue = long.Queue.rows()
	return long.Rest, nil
}
