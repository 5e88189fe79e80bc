package cli

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestBarsShowAPartOfAWhole(t *testing.T) {
	for _, c := range []struct {
		part, whole, most float64
		want              string
	}{
		{0, 0, 0, ""},
		{0, 0, 40, ""},
		{4, 4, 40, "████"},
		{2, 4, 40, "██░░"},
		{2.5, 4, 40, "██▌░"},
		{0, 3, 40, "░░░"},
		{0.1, 0.1, 40, "▏"},
	} {
		assert.Equal(t, c.want, bar(c.part, c.whole, c.most), "%v", c)
	}
	assert.Equal(t, barWidth, utf8.RuneCountInString(bar(7, 7, 7)))
}

func TestTimesAndPricesAreShort(t *testing.T) {
	for seconds, want := range map[float64]string{0: "00:00", 60: "00:01", 90: "00:01:30", 86399: "23:59:59", 86400: "1d 00:00", 30*86400 + 3600: "30d 01:00"} {
		assert.Equal(t, want, offset(seconds))
	}
	for amount, want := range map[float64]string{0: "0", 0.00004: "0.0000", 0.5: "0.5000", 1: "1.00", 1234.567: "1234.57"} {
		assert.Equal(t, want, price(amount))
	}
	assert.Equal(t, "1 container", countOf(1, "container"))
	assert.Equal(t, "0 containers", countOf(0, "container"))
}
