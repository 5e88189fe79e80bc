package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// A runner of a site's own would start it at once, beside the one whose room it is to have.
func TestAnotherRunnerIsNotAskedToBeginAContainerAfterAnother(t *testing.T) {
	r := &remote{in: api.RunContainerInput{Assignment: api.Assignment{Container: "b", After: []string{"a"}}}}
	_, err := r.attend(t.Context(), []byte(`{"command":["true"]}`), func() { t.Error("it was started") })
	require.ErrorIs(t, err, errCantWait)
}
