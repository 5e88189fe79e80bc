// Package indices reads and writes sets of array indices, such as 0-99, 1,3,7-9 or
// 0-100:10.
package indices

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The bounds of a set.
const (
	// Max is the highest index.
	Max = 999_999_999
	// MaxCount is how many indices a set has at most.
	MaxCount = 10_000
	// MaxText is how many characters the shortest text of a set has at most: every
	// element of an array carries it.
	MaxText = 1000
)

// Set is a set of indices, in ascending order.
type Set []int

// Contains reports whether the set has an index.
func (s Set) Contains(index int) bool {
	_, found := slices.BinarySearch(s, index)
	return found
}

// Parse reads a set: indices and ranges, which may have a step, with commas between
// them. Indices may be named several times.
func Parse(text string) (Set, error) {
	var set Set
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(part)
		if err != nil {
			return nil, err
		}
		if r.count() > MaxCount {
			return nil, tooMany(r.count())
		}
		for index := r.first; index <= r.last; index += r.step {
			set = append(set, index)
		}
		if len(set) > 2*MaxCount { // before a long text takes much memory
			set = compacted(set)
		}
		if len(set) > 2*MaxCount {
			return nil, tooMany(len(set))
		}
	}
	if set = compacted(set); len(set) > MaxCount {
		return nil, tooMany(len(set))
	}
	if n := len(set.String()); n > MaxText {
		return nil, fmt.Errorf("the shortest way to write these %d indices has %d characters; allowed: at most %d, so use fewer and longer ranges", len(set), n, MaxText)
	}
	return set, nil
}

func compacted(set Set) Set {
	slices.Sort(set)
	return slices.Compact(set)
}

func tooMany(n int) error {
	return fmt.Errorf("%d indices are too many; allowed: at most %d", n, MaxCount)
}

// indexRange is a range with both its ends.
type indexRange struct{ first, last, step int }

func (r indexRange) count() int { return (r.last-r.first)/r.step + 1 }

func parseRange(text string) (indexRange, error) {
	ends, step, stepped := strings.Cut(text, ":")
	first, last, ranged := strings.Cut(ends, "-")
	if !ranged {
		last = first
	}
	if !stepped {
		step = "1"
	}
	numbers := [3]int{}
	for i, number := range []string{first, last, step} {
		n, ok := parseIndex(number)
		if !ok || stepped && !ranged {
			return indexRange{}, fmt.Errorf("%q is not allowed: indices, ranges and steps, such as 0-99, 1,3,7-9 or 0-100:10, with numbers from 0 to %d without leading zeros", text, Max)
		}
		numbers[i] = n
	}
	r := indexRange{first: numbers[0], last: numbers[1], step: numbers[2]}
	switch {
	case r.last < r.first:
		return r, fmt.Errorf("%q ends before it begins; allowed: the lower index first, such as %d-%d", text, r.last, r.first)
	case r.step == 0:
		return r, fmt.Errorf("%q has a step of 0; allowed: 1 or more", text)
	}
	return r, nil
}

// parseIndex reads a number in its only form.
func parseIndex(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= Max && strconv.Itoa(n) == text
}

// String is the set in its shortest form, which equal sets share.
func (s Set) String() string {
	var parts []string
	for rest := s; len(rest) > 0; {
		n := run(rest)
		first, last := strconv.Itoa(rest[0]), strconv.Itoa(rest[n-1])
		switch {
		case n == 1:
			parts = append(parts, first)
		case rest[1]-rest[0] == 1:
			parts = append(parts, first+"-"+last)
		default:
			parts = append(parts, fmt.Sprintf("%s-%s:%d", first, last, rest[1]-rest[0]))
		}
		rest = rest[n:]
	}
	return strings.Join(parts, ",")
}

// run returns how many indices at the front are written as one range: 1 where a range
// would be no easier to read.
func run(s Set) int {
	if len(s) < 3 {
		return 1
	}
	n, step := 2, s[1]-s[0]
	for n < len(s) && s[n]-s[n-1] == step {
		n++
	}
	if n < 3 || step > 1 && n < 4 {
		return 1
	}
	return n
}
