package indices_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"drover/internal/indices"
)

func TestIndicesRangesAndStepsAreASet(t *testing.T) {
	for text, want := range map[string]struct {
		set  indices.Set
		text string
	}{
		"0":             {indices.Set{0}, "0"},
		"0-3":           {indices.Set{0, 1, 2, 3}, "0-3"},
		"7-7":           {indices.Set{7}, "7"},
		"1,3,7-9":       {indices.Set{1, 3, 7, 8, 9}, "1,3,7-9"},
		"0-100:25":      {indices.Set{0, 25, 50, 75, 100}, "0-100:25"},
		"0-99:25":       {indices.Set{0, 25, 50, 75}, "0-75:25"},
		"0-100:60":      {indices.Set{0, 60}, "0,60"},
		"9,8,1-3,2,2":   {indices.Set{1, 2, 3, 8, 9}, "1-3,8,9"},
		"3-4:9":         {indices.Set{3}, "3"},
		"999999999":     {indices.Set{999999999}, "999999999"},
		"1,2,4,6,8,9":   {indices.Set{1, 2, 4, 6, 8, 9}, "1,2-8:2,9"},
		"0,5,6,7,10-12": {indices.Set{0, 5, 6, 7, 10, 11, 12}, "0,5-7,10-12"},
	} {
		set, err := indices.Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, want.set, set, text)
		assert.Equal(t, want.text, set.String(), text)
	}
}

func TestWhatIsNoSetIsRefusedInOneLineThatSaysWhatIsAllowed(t *testing.T) {
	const allowed = " is not allowed: indices, ranges and steps, such as 0-99, 1,3,7-9 or 0-100:10, with numbers from 0 to 999999999 without leading zeros"
	for text, want := range map[string]string{
		"":                     `""` + allowed,
		"x":                    `"x"` + allowed,
		"1,":                   `""` + allowed,
		"-1":                   `"-1"` + allowed,
		"1-":                   `"1-"` + allowed,
		"1-2-3":                `"1-2-3"` + allowed,
		"1, 2":                 `" 2"` + allowed,
		"+1":                   `"+1"` + allowed,
		"007":                  `"007"` + allowed,
		"1:2":                  `"1:2"` + allowed,
		"0-9:":                 `"0-9:"` + allowed,
		"0-9%3":                `"0-9%3"` + allowed,
		"1000000000":           `"1000000000"` + allowed,
		"99999999999999999999": `"99999999999999999999"` + allowed,
		"9-3":                  `"9-3" ends before it begins; allowed: the lower index first, such as 3-9`,
		"0-9:0":                `"0-9:0" has a step of 0; allowed: 1 or more`,
		"0-10000":              "10001 indices are too many; allowed: at most 10000",
		"0-999999999":          "1000000000 indices are too many; allowed: at most 10000",
		"0-9999,20000":         "10001 indices are too many; allowed: at most 10000",
		"0-9998:2,1-9999:2,10001-19999:2,10000-18000:2,1-3": "19001 indices are too many; allowed: at most 10000",
	} {
		_, err := indices.Parse(text)
		require.EqualError(t, err, want, text)
	}
	_, err := indices.Parse(strings.TrimSuffix(strings.Repeat("0-9999:9,", 5000)+"1,2,4,8,15,16,23,42,", ","))
	require.NoError(t, err, "what is named often counts once")
	var scattered []string
	for i := range 300 {
		scattered = append(scattered, indices.Set{i * i}.String())
	}
	_, err = indices.Parse(strings.Join(scattered, ","))
	assert.ErrorContains(t, err, "the shortest way to write these 300 indices has")
	assert.ErrorContains(t, err, "allowed: at most 1000, so use fewer and longer ranges")
}

func TestEqualSetsHaveOneText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOfN(rapid.IntRange(0, 60), 1, 40).Draw(t, "indices")
		var parts []string
		for _, n := range numbers {
			parts = append(parts, indices.Set{n}.String())
		}
		set, err := indices.Parse(strings.Join(parts, ","))
		require.NoError(t, err)
		slices.Sort(numbers)
		require.Equal(t, indices.Set(slices.Compact(slices.Clone(numbers))), set)
		again, err := indices.Parse(set.String())
		require.NoError(t, err)
		require.Equal(t, set, again)
		for n := range 61 {
			require.Equal(t, slices.Contains(numbers, n), set.Contains(n))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0-99", "1,3,7-9", "0-100:10", "", "9-3", "0-9:0", "999999999-999999999:999999999", "0-10000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := indices.Parse(text)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NotEmpty(t, set)
		require.LessOrEqual(t, len(set), indices.MaxCount)
		again, err := indices.Parse(set.String())
		require.NoError(t, err)
		require.Equal(t, set, again)
	})
}
