//go:build !race

package runner

// rounds of tests that kill at random.
const rounds = 15
