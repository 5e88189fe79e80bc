// Package schedule decides which container runs on which instance of a fleet, which
// instances are bought and let go, and why every other container waits.
//
// [Decide] is a pure function of a [World]: no I/O, no clock, no randomness, no map
// order. The fleet's workflow feeds it once per batch of news and carries out the
// [Decision]; what the cloud answers goes into [Learnt].
package schedule
