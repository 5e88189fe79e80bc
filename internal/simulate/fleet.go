package simulate

import (
	"math"

	"drover/internal/schedule"
)

// holds returns how many containers of a shape there is room for, at most limit; a
// limit of 0 is none.
func holds(room *schedule.Resources, shape *schedule.Shape, limit int) int {
	n := int64(math.MaxInt32)
	if limit > 0 {
		n = int64(limit)
	}
	for _, r := range [][2]int64{
		{room.MilliCPU, shape.MilliCPU}, {room.Memory, shape.Memory}, {room.Scratch, shape.Scratch}, {room.GPUs, shape.GPUs},
	} {
		if r[1] > 0 {
			n = min(n, max(r[0], 0)/r[1])
		}
	}
	return int(n)
}
