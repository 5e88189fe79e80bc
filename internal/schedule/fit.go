package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// defaultArchitecture is that of an instance type which names none.
const defaultArchitecture = "amd64"

// maxNearest is how many types a refusal names.
const maxNearest = 3

// Fits reports whether an empty instance of type t can run a container of shape s.
func Fits(s Shape, t InstanceType) bool { return fitsType(&s, &t) }

func fitsType(s *Shape, t *InstanceType) bool {
	return s.within(&t.Resources) && (s.Preemptible || !t.Preemptible) &&
		(s.Architecture == "" || s.Architecture == architecture(t))
}

func architecture(t *InstanceType) string {
	if t.Architecture == "" {
		return defaultArchitecture
	}
	return t.Architecture
}

// within reports whether r is no more than room in any respect.
func (r *Resources) within(room *Resources) bool {
	return r.MilliCPU <= room.MilliCPU && r.Memory <= room.Memory &&
		r.Scratch <= room.Scratch && r.GPUs <= room.GPUs
}

func (r *Resources) take(s *Resources) {
	r.MilliCPU -= s.MilliCPU
	r.Memory -= s.Memory
	r.Scratch -= s.Scratch
	r.GPUs -= s.GPUs
}

// compare orders remainders: the scarcer resource decides first.
func (r *Resources) compare(o *Resources) int {
	return cmp.Or(cmp.Compare(r.GPUs, o.GPUs), cmp.Compare(r.MilliCPU, o.MilliCPU),
		cmp.Compare(r.Memory, o.Memory), cmp.Compare(r.Scratch, o.Scratch))
}

// String says what is there, leaving out what is zero: "2 vCPUs, 4GiB".
func (r Resources) String() string {
	var parts []string
	if r.MilliCPU != 0 {
		parts = append(parts, plural(float64(r.MilliCPU)/1000, "vCPU"))
	}
	if r.Memory != 0 {
		parts = append(parts, size(r.Memory))
	}
	if r.Scratch != 0 {
		parts = append(parts, size(r.Scratch)+" scratch")
	}
	if r.GPUs != 0 {
		parts = append(parts, plural(float64(r.GPUs), "GPU"))
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// String says what is needed: "2 vCPUs, 4GiB, arm64".
func (s Shape) String() string {
	if s.Architecture == "" {
		return s.Resources.String()
	}
	return s.Resources.String() + ", " + s.Architecture
}

// Check returns nil if at least one of types can run a container of shape s, and
// otherwise an error for the person who submitted it, which names the nearest types
// and what each lacks. (max_price_factor plays no part: the cheapest type that fits is
// always within it.)
func Check(s Shape, types []InstanceType) error {
	if len(types) == 0 {
		return errors.New("the fleet has no instance types")
	}
	misses := make([]miss, len(types))
	for i := range types {
		if fitsType(&s, &types[i]) {
			return nil
		}
		misses[i] = missOf(&s, &types[i])
	}
	slices.SortFunc(misses, func(a, b miss) int {
		return cmp.Or(cmp.Compare(len(a.lacks), len(b.lacks)), cmp.Compare(a.distance, b.distance),
			cmp.Compare(a.t.Price, b.t.Price), cmp.Compare(a.t.Name, b.t.Name))
	})
	var near []string
	for _, m := range misses[:min(len(misses), maxNearest)] {
		near = append(near, fmt.Sprintf("%s (%v) %s", m.t.Name, m.t.Resources, strings.Join(m.lacks, " and ")))
	}
	return fmt.Errorf("no instance type fits %v; nearest: %s", s, strings.Join(near, "; "))
}

// miss is how far an instance type is from fitting a shape.
type miss struct {
	t        *InstanceType
	lacks    []string
	distance float64 // the shares of what is needed that are missing, added up
}

func missOf(s *Shape, t *InstanceType) miss {
	m := miss{t: t}
	add := func(need, have int64, say func(int64) string) {
		if need > have {
			m.lacks = append(m.lacks, "lacks "+say(need-have))
			m.distance += float64(need-have) / float64(need)
		}
	}
	add(s.MilliCPU, t.MilliCPU, func(n int64) string { return Resources{MilliCPU: n}.String() })
	add(s.Memory, t.Memory, func(n int64) string { return size(n) + " of memory" })
	add(s.Scratch, t.Scratch, func(n int64) string { return size(n) + " of scratch" })
	add(s.GPUs, t.GPUs, func(n int64) string { return Resources{GPUs: n}.String() })
	if s.Architecture != "" && s.Architecture != architecture(t) {
		m.lacks = append(m.lacks, "is "+architecture(t))
		m.distance++
	}
	if t.Preemptible && !s.Preemptible {
		m.lacks = append(m.lacks, "is preemptible, which the container does not allow")
		m.distance++
	}
	return m
}

// plural says a number of things whose plural takes an s.
func plural(n float64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatFloat(n, 'f', -1, 64) + " " + noun
}

// size says a number of bytes in the largest unit of which there is at least one.
func size(n int64) string {
	units := []struct {
		name  string
		bytes int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
	for _, u := range units {
		if n >= u.bytes {
			s := strconv.FormatFloat(float64(n)/float64(u.bytes), 'f', 2, 64)
			return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
