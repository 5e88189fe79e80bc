// Package simulate runs a workload on a fleet that does not exist: it plays the fleet's
// workflow, the instances and the cloud, over simulated time, around the same
// [schedule.Decide] that decides for real fleets. It tells how long the work takes, how
// long containers wait, what is paid, and what of it is paid for nothing.
//
// [Run] is a pure function of the spec, the workload and the options: no I/O, no wall
// clock, and all randomness from the seed.
package simulate
