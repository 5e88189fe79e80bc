package activities

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"drover/internal/api"
)

func TestAListingIsReadLineByLine(t *testing.T) {
	for out, want := range map[string]api.Listing{
		"":                       {},
		"c-1\n":                  {Containers: []string{"c-1"}},
		"c-1\nc-2 stale\n":       {Containers: []string{"c-1", "c-2"}, Stale: []string{"c-2"}},
		"broken\n":               {Broken: true},
		"c-1\nbroken\n":          {Containers: []string{"c-1"}, Broken: true},
		"-odd\na/b\nc-1 what\n ": {},
	} {
		assert.Equal(t, want, parseListing(out), "%q", out)
	}
}
