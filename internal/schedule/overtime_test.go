package schedule

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestPropertyOverTimeEverythingEnds has fleets live through all that a cloud may do:
// every decision is sound, what can run ends, nothing is bought and dropped again and
// again, and in the end nothing is paid for that is not to be kept.
func TestPropertyOverTimeEverythingEnds(t *testing.T) {
	checkFewer(t, func(t *rapid.T) {
		c := drawWeather(t)
		c.decide()
		for steps := 0; c.next(); steps++ {
			require.Less(t, steps, 20000, "no end")
			if c.w.Now.After(noon.Add(patience)) || c.over() {
				break
			}
		}
		d := Decide(c.w)
		for _, id := range c.waiting() {
			require.Fail(t, "a container never ended", "%s: %s", id, d.Status(id))
		}
		wanted := c.submitted * (1 + c.w.Limits.MinIdle)
		// A container may ask twice: one of a higher priority may take what it waited for.
		require.LessOrEqual(t, c.bought, 2*wanted+c.failures+c.dropped, "bought for nothing")
		require.LessOrEqual(t, c.dropped, wanted, "bought and dropped")
		require.LessOrEqual(t, len(c.w.Instances), c.w.Limits.MinIdle)
	})
}
