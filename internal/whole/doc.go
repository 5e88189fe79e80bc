// Package whole tests drover from outside: the programs that `make build` makes, with
// a real Temporal server, real SSH and real processes. It has no code of its own.
package whole
