package local

import (
	"testing"

	"drover/internal/cloud/cloudtest"

	"github.com/stretchr/testify/require"
)

func benchDriver(b *testing.B) (*Driver, func() node) {
	b.Helper()
	d, err := New(Config{Fleet: testFleet, Directory: b.TempDir()})
	require.NoError(b, err)
	keys := cloudtest.NewKeys(b)
	return d, func() node { return node{d: d, name: cloudtest.Name(b), keys: keys} }
}

func BenchmarkCreate(b *testing.B) {
	d, next := benchDriver(b)
	for b.Loop() {
		n := next()
		_, err := d.Create(b.Context(), n.request())
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, d.Destroy(b.Context(), n.name))
		b.StartTimer()
	}
}

func BenchmarkListOf100(b *testing.B) {
	d, next := benchDriver(b)
	for range 100 {
		_, err := d.Create(b.Context(), next().request())
		require.NoError(b, err)
	}
	for b.Loop() {
		instances, err := d.List(b.Context())
		require.NoError(b, err)
		require.Len(b, instances, 100)
	}
	require.NoError(b, DestroyAll(b.Context(), d.config.Directory))
}
