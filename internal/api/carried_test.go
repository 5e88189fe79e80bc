package api_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
	"drover/internal/schedule"
)

// largest is what the largest fleet carries: 50,000 containers queued and 10,000 on 2,000 instances, many of them retried.
func largest() api.FleetCarried {
	random := rand.New(rand.NewPCG(1, 2))
	c := api.FleetCarried{Stories: map[string][]string{}, NextOrder: 1e7, Names: 1e5, Since: time.Unix(1.7e9, 0).UTC()}
	for k := range 200 {
		c.Shapes = append(c.Shapes, schedule.Shape{Resources: schedule.Resources{MilliCPU: 1000, Memory: int64(k) << 20}})
	}
	for k := range 2000 {
		c.Instances = append(c.Instances, api.CarriedInstance{
			Name: fmt.Sprintf("default-%08x", random.Uint32()), Type: "small", State: api.StateRunning, Behavior: api.Run,
			CloudID: fmt.Sprintf("i-%016x", random.Uint64()), Accepted: true, OrdersSeq: int64(k), ReportSeq: int64(2 * k),
		})
	}
	at := time.Unix(1.7e9, 0).UnixMilli()
	for k := range 60_000 {
		at += random.Int64N(1000)
		id := fmt.Sprintf("c-%010x", random.Uint64()>>24)
		p := api.CarriedContainer{
			ID: id, Shape: random.IntN(200), Order: int64(k + 1e6), Attempts: 3, QueuedMS: at,
			Label: fmt.Sprintf("./align --threads 8 sample-%d", random.IntN(1e6)),
		}
		if k < 10_000 {
			on := c.Instances[random.IntN(2000)].Name
			p.Instance, p.Attempt, p.Used, p.Highest, p.SentMS = on, 2, 2, 2, at+1000
			c.Stories[id] = []string{fmt.Sprintf("attempt 1 on %s: lost: instance i-%016x: unreachable: run probe: dial tcp 10.0.0.1:22: i/o timeout", on, random.Uint64())}
		}
		c.Queue = append(c.Queue, p)
	}
	return c
}

func TestTheLargestFleetsStateFitsIntoAWorkflowsInput(t *testing.T) {
	carried := largest()
	packed, err := carried.Pack()
	require.NoError(t, err)
	const limit = 2 << 20
	assert.Less(t, len(packed), limit-200_000, "bytes, with some to spare for the spec")
	unpacked, err := api.Unpack(packed)
	require.NoError(t, err)
	assert.Equal(t, carried, unpacked)
}

func TestASmallFleetsStateStaysReadable(t *testing.T) {
	packed, err := api.FleetCarried{Queue: []api.CarriedContainer{{ID: "c-1"}}}.Pack()
	require.NoError(t, err)
	assert.Nil(t, packed)
	_, err = api.Unpack([]byte("rubbish"))
	assert.ErrorContains(t, err, "what the fleet's last run has left can't be read")
}
