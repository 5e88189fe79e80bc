package fleetspec

import (
	"errors"
	"fmt"
	"strings"
)

// problem is what is wrong with one key of a spec.
type problem struct {
	path string // such as instance_types[1].memory; empty: the whole spec
	what string
	line int // 0: not known
}

func problemf(path, format string, args ...any) *problem {
	return &problem{path: path, what: fmt.Sprintf(format, args...)}
}

// Error is one line, without the place in a file.
func (p *problem) Error() string {
	if p.path == "" {
		return p.what
	}
	return p.path + ": " + p.what
}

// locate adds the line of the key that the problem is about or, where the key is not
// in the document, of the nearest one around it.
func (d *decoder) locate(err error) error {
	var p *problem
	if !errors.As(err, &p) || p.line != 0 {
		return err
	}
	located := *p
	path := p.path
	for located.line == 0 && path != "" {
		located.line = d.lines[path]
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return &located
}
