package fleetspec_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"drover/internal/fleetspec"
)

func TestMarshalParsesBackEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := specs().Draw(t, "spec")
		data, err := fleetspec.Marshal(want)
		require.NoError(t, err)
		got, err := fleetspec.Parse("fleet.yaml", data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, want, got, "%s", data)
		require.Empty(t, fleetspec.Diff(want, got))
	})
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := specs().Draw(t, "spec")
		data, err := json.Marshal(want)
		require.NoError(t, err)
		var got fleetspec.Spec
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, want, got)
	})
}

func TestDurationTextIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := fleetspec.Duration(rapid.Int64().Draw(t, "duration"))
		text, err := want.MarshalText()
		require.NoError(t, err)
		var got fleetspec.Duration
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, want, got)
	})
}

func TestSizeTextIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := fleetspec.Size(rapid.OneOf(
			rapid.Int64Range(0, math.MaxInt64),
			rapid.Map(rapid.Int64Range(0, 1e6), func(n int64) int64 { return n << 30 }),
			rapid.Map(rapid.Int64Range(0, 1e6), func(n int64) int64 { return n * 1e6 }),
		).Draw(t, "size"))
		text, err := want.MarshalText()
		require.NoError(t, err)
		var got fleetspec.Size
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, want, got)
	})
}
