package pause_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"drover/internal/pause"
)

func TestFor(t *testing.T) {
	began := time.Now()
	require.NoError(t, pause.For(t.Context(), 20*time.Millisecond))
	require.GreaterOrEqual(t, time.Since(began), 20*time.Millisecond)
	require.NoError(t, pause.For(t.Context(), -time.Second))

	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, pause.For(ended, time.Hour), context.Canceled)
}
