package fleetspec_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"drover/internal/fleetspec"
)

// FuzzParse checks that Parse never panics, that every error is one line which says
// where, and that what is accepted survives Marshal.
func FuzzParse(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte(rehearsed))
	for _, cases := range [][]errorCase{formErrors, valueErrors} {
		for _, c := range cases {
			if len(c.yaml) < 1000 {
				f.Add([]byte(c.yaml))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		spec, err := fleetspec.Parse("fleet.yaml", data)
		if err != nil {
			require.Regexp(t, `^fleet\.yaml:[1-9][0-9]*: .`, err.Error())
			require.False(t, strings.ContainsAny(err.Error(), "\n\r\v\f\x00\x1b\u0085\u2028\u2029"), "%q", err.Error())
			require.True(t, utf8.ValidString(err.Error()))
			require.Less(t, len(err.Error()), 600)
			require.Zero(t, spec)
			return
		}
		yaml, err := fleetspec.Marshal(spec)
		require.NoError(t, err)
		again, err := fleetspec.Parse("fleet.yaml", yaml)
		require.NoError(t, err, "%s", yaml)
		require.Equal(t, spec, again)
	})
}
