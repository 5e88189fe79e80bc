package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// BenchmarkCarried packs and unpacks what the largest fleet carries over: both happen
// whenever it continues as new, in a workflow task.
func BenchmarkCarried(b *testing.B) {
	carried := largest()
	packed, err := carried.Pack()
	require.NoError(b, err)
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			_, err := carried.Pack()
			require.NoError(b, err)
		}
		b.ReportMetric(float64(len(packed)), "bytes")
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			_, err := api.Unpack(packed)
			require.NoError(b, err)
		}
	})
}
