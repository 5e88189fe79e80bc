package api

// columns are containers, field by field: what is alike stands side by side, which takes
// fewer bytes, and much less time to encode. A field that is the same in all of them is
// there once, and one that is zero in all not at all.
type columns struct {
	Count    int      `json:"count"`
	ID       []string `json:"i,omitempty"`
	Label    []string `json:"l,omitempty"`
	Instance []string `json:"on,omitempty"`
	Workflow []string `json:"w,omitempty"`
	Shape    []int    `json:"s,omitempty"`
	Priority []int    `json:"p,omitempty"`
	Attempts []int    `json:"n,omitempty"`
	Attempt  []int    `json:"a,omitempty"`
	Used     []int    `json:"u,omitempty"`
	Highest  []int    `json:"h,omitempty"`
	Order    []int64  `json:"o,omitempty"`
	QueuedMS []int64  `json:"q,omitempty"`
	SentMS   []int64  `json:"t,omitempty"`
	Cancel   []bool   `json:"c,omitempty"`
	After    []string `json:"f,omitempty"`
	Revoked  []bool   `json:"r,omitempty"`
}

// toColumns is the inverse of rows. Order and the times stand there as differences.
func toColumns(all []CarriedContainer) columns {
	return columns{
		Count:    len(all),
		ID:       column(all, carriedID),
		Label:    column(all, func(c *CarriedContainer) string { return c.Label }),
		Instance: column(all, func(c *CarriedContainer) string { return c.Instance }),
		Workflow: column(all, func(c *CarriedContainer) string { return c.Workflow }),
		Shape:    column(all, func(c *CarriedContainer) int { return c.Shape }),
		Priority: column(all, func(c *CarriedContainer) int { return c.Priority }),
		Attempts: column(all, func(c *CarriedContainer) int { return c.Attempts }),
		Attempt:  column(all, func(c *CarriedContainer) int { return c.Attempt }),
		Used:     column(all, func(c *CarriedContainer) int { return c.Used }),
		Highest:  column(all, func(c *CarriedContainer) int { return c.Highest }),
		Order:    differences(column(all, func(c *CarriedContainer) int64 { return c.Order })),
		QueuedMS: differences(column(all, func(c *CarriedContainer) int64 { return c.QueuedMS })),
		SentMS:   differences(column(all, func(c *CarriedContainer) int64 { return c.SentMS })),
		Cancel:   column(all, func(c *CarriedContainer) bool { return c.Cancel }),
		After:    column(all, func(c *CarriedContainer) string { return c.After }),
		Revoked:  column(all, func(c *CarriedContainer) bool { return c.Revoked }),
	}
}

// carriedID is a container's ID, unless it follows from its workflow's.
func carriedID(c *CarriedContainer) string {
	if c.Workflow != "" && ContainerID(c.Workflow) == c.ID {
		return ""
	}
	return c.ID
}

// rows returns the containers.
func (c columns) rows() []CarriedContainer {
	order, queued, sent := sums(c.Order), sums(c.QueuedMS), sums(c.SentMS)
	all := make([]CarriedContainer, c.Count)
	for k := range all {
		all[k] = CarriedContainer{
			ID: at(c.ID, k), Label: at(c.Label, k), Instance: at(c.Instance, k), Workflow: at(c.Workflow, k),
			Shape: at(c.Shape, k), Priority: at(c.Priority, k),
			Attempts: at(c.Attempts, k), Attempt: at(c.Attempt, k), Used: at(c.Used, k), Highest: at(c.Highest, k),
			Order: at(order, k), QueuedMS: at(queued, k), SentMS: at(sent, k), Cancel: at(c.Cancel, k), After: at(c.After, k), Revoked: at(c.Revoked, k),
		}
		if all[k].ID == "" {
			all[k].ID = ContainerID(all[k].Workflow)
		}
	}
	return all
}

// column returns a field of all containers.
func column[T comparable](all []CarriedContainer, field func(*CarriedContainer) T) []T {
	values := make([]T, len(all))
	same := true
	for k := range all {
		values[k] = field(&all[k])
		same = same && values[k] == values[0]
	}
	var zero T
	switch {
	case same && (len(all) == 0 || values[0] == zero):
		return nil
	case same:
		return values[:1]
	}
	return values
}

// at returns a value of a column.
func at[T any](values []T, k int) T {
	var zero T
	switch len(values) {
	case 0:
		return zero
	case 1:
		return values[0]
	}
	return values[k]
}

// differences replaces each value but the first by its difference to the one before it.
func differences(values []int64) []int64 {
	for k := len(values) - 1; k > 0; k-- {
		values[k] -= values[k-1]
	}
	return values
}

// sums is the inverse of differences.
func sums(values []int64) []int64 {
	for k := 1; k < len(values); k++ {
		values[k] += values[k-1]
	}
	return values
}
