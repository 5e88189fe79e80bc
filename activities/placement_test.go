package activities

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// Orders may come from a workflow task of the fleet that failed, and come again with other
// content: what counts is what the fleet says now.
func TestAnAttemptIsStartedOnlyAsItsFleetSays(t *testing.T) {
	placed := func(state, on string, attempt int, after ...string) api.ContainerState {
		return api.ContainerState{ID: "c", State: state, Instance: on, Attempt: attempt, After: after}
	}
	for name, c := range map[string]struct {
		says  api.ContainerState
		after []string
		how   api.EndKind
	}{
		"here":                                {placed(api.ContainerRunning, "here", 2), nil, ""},
		"elsewhere":                           {placed(api.ContainerRunning, "there", 2), nil, api.Unwanted},
		"a later attempt":                     {placed(api.ContainerRunning, "here", 3), nil, api.Unwanted},
		"here, after another":                 {placed(api.ContainerAssigned, "here", 2, "a"), []string{"a"}, ""},
		"elsewhere, after another":            {placed(api.ContainerAssigned, "there", 2, "a"), []string{"b"}, api.Unwanted},
		"here, but after another":             {placed(api.ContainerAssigned, "here", 2, "a"), nil, api.Revoked},
		"here, but after yet another":         {placed(api.ContainerAssigned, "here", 2, "a"), []string{"b"}, api.Revoked},
		"here, and the other one has ended":   {placed(api.ContainerRunning, "here", 2), []string{"a"}, ""},
		"here, after another, which is later": {placed(api.ContainerAssigned, "here", 3, "a"), []string{"a"}, api.Unwanted},
	} {
		t.Run(name, func(t *testing.T) {
			let, asked := make(chan error, 1), make(chan []string, 1)
			let <- nil
			r := &remote{
				Activities: &Activities{registers: fleetThatSays(t, let, asked, map[string]api.ContainerState{"c": c.says})},
				in:         api.RunContainerInput{Machine: api.Machine{Fleet: "f", Name: "here"}, Assignment: api.Assignment{Container: "c", Attempt: 2, After: c.after}},
			}
			p := r.placed(t.Context())
			require.NoError(t, p.err)
			assert.Equal(t, c.how, p.how)
		})
	}
}
