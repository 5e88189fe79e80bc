package output

import (
	"context"
	"fmt"
	"slices"
)

// A container that writes a line per second for ten days makes almost a million
// segments. So while it runs, small neighbours are merged into one: mergeCount of
// them into a segment of level 1, mergeCount of those into one of level 2, and so on,
// so that each byte is rewritten at most maxLevel times. A few hundred small segments
// remain at most, and those of largeSegment or more, which stay as they are.
//
// The merged segment is written first, then its parts are deleted: a crash between
// leaves them covered, to be deleted after Resume.
const (
	mergeCount   = 64
	maxLevel     = 4
	largeSegment = 1 << 20
)

func (g segment) large() bool { return g.end-g.start >= largeSegment }

// startMerge merges in the background if it is time to and no merge runs.
func (w *Writer) startMerge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	level, due := dueLevel(w.segments)
	if w.merging || (!due && len(w.covered) == 0) {
		return
	}
	var groups [][]segment
	if due {
		groups = mergeGroups(w.segments, level)
	}
	covered := w.covered
	w.covered = nil
	w.merging = true
	w.merges.Go(func() {
		// A merge that fails loses nothing: its parts stay, and count again the next
		// time. A store that fails for long shows in Write, Flush and Close.
		left := w.mergeAll(w.ctx, groups, level, covered)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.covered = append(w.covered, left...)
		w.merging = false
	})
}

// finishMerges merges what became due while a merge ran. Each round can make a level
// due that was not.
func (w *Writer) finishMerges() {
	for range maxLevel {
		w.merges.Wait()
		w.startMerge()
	}
	w.merges.Wait()
}

// dueLevel returns the lowest level of which there are enough small segments.
func dueLevel(segments []segment) (level int, due bool) {
	var count [maxLevel + 1]int
	for _, g := range segments {
		if !g.large() {
			count[g.level]++
		}
	}
	for level := range maxLevel {
		if count[level] >= mergeCount {
			return level, true
		}
	}
	return 0, false
}

// mergeGroups divides the small segments up to a level into neighbours that fit into
// one segment.
func mergeGroups(segments []segment, level int) [][]segment {
	var groups [][]segment
	open := false // the last group takes the next segment if it fits
	for _, g := range segments {
		if g.large() || g.level > level {
			open = false
			continue
		}
		if last := len(groups) - 1; open && g.end-groups[last][0].start <= maxSegment {
			groups[last] = append(groups[last], g)
			continue
		}
		groups = append(groups, []segment{g})
		open = true
	}
	return groups
}

// mergeAll merges each group, and deletes covered segments. It returns the segments
// that are covered and could not be deleted.
func (w *Writer) mergeAll(ctx context.Context, groups [][]segment, level int, covered []segment) []segment {
	for _, group := range groups {
		merged := segment{start: group[0].start, end: group[len(group)-1].end, level: level + 1, instance: w.stream.Instance}
		if len(group) > 1 {
			if err := w.merge(ctx, merged); err != nil {
				break
			}
			covered = append(covered, group...)
		}
		w.replace(group, merged)
	}
	var left []segment
	for _, g := range covered {
		if err := w.store.remove(ctx, w.prefix+g.name()); err != nil {
			left = append(left, g)
		}
	}
	return left
}

func (w *Writer) merge(ctx context.Context, merged segment) error {
	data, err := w.store.readRange(ctx, w.stream, merged.start, merged.end)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return w.put(ctx, merged, data)
}

// replace puts a merged segment in the place of its parts.
func (w *Writer) replace(group []segment, merged segment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := make([]segment, 0, len(w.segments))
	for _, g := range w.segments {
		switch {
		case g == group[0]:
			kept = append(kept, merged)
		case !slices.Contains(group, g):
			kept = append(kept, g)
		}
	}
	w.segments = kept
}

// coveredBy returns the segments found that one other in the chain holds all of. The
// length differs, so the names do.
func coveredBy(chain, found []segment) []segment {
	var covered []segment
	i := 0
	for _, g := range found { // both are sorted by start
		for i < len(chain) && chain[i].end < g.end {
			i++
		}
		if i < len(chain) && chain[i].covers(g) && chain[i] != g {
			covered = append(covered, g)
		}
	}
	return covered
}
