//go:build race

package runner

// rounds of tests that kill at random: every process is slow to start under the race detector.
const rounds = 4
