package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
)

// plainAtMost is up to how many bytes of JSON what a fleet carries over stays readable.
const plainAtMost = 256 << 10

// Pack returns the same in fewer bytes if it is long, and nil if it is not. The input of a
// workflow may have 2 MB, and 50,000 queued containers have 5 MB of JSON.
func (c FleetCarried) Pack() ([]byte, error) {
	plain, err := json.Marshal(c)
	if err != nil || len(plain) <= plainAtMost {
		return nil, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	err = w.Close()
	return packed.Bytes(), err
}

// Unpack returns what Pack has packed.
func Unpack(packed []byte) (FleetCarried, error) {
	var carried FleetCarried
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		err = json.NewDecoder(r).Decode(&carried)
	}
	if err != nil {
		return carried, fmt.Errorf("what the fleet's last run has left can't be read: %w", err)
	}
	return carried, nil
}
