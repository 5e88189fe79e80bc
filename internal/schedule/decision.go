package schedule

import "time"

// Decision is what the fleet is to do now, and why every container that waits does.
// It refers to the World it was made from, which must not be changed while Status
// and StatusAt are in use.
type Decision struct {
	// Assign lists the containers to be started now, highest first.
	Assign []Assignment
	// Reserve lists every container that waits for an instance to boot, whether it
	// already did or not. A container that was Assigned and is in neither Assign nor
	// Reserve is Queued again.
	Reserve []Reservation
	// Create lists the instances to be created now.
	Create []Creation
	// ShutDown names idle instances to be let go at once, without their idle timeout,
	// to make room at a limit. The fleet counts them as Leaving from now on.
	ShutDown []string
	// Keep names the idle instances that are up and are kept warm for Limits.MinIdle:
	// their idle timeout is not to end them. Every other idle one goes after it.
	Keep []string
	// Ahead lists the containers to be sent ahead, highest first. They are Running and Next
	// from now on.
	Ahead []Succession
	// CallBack names those that were sent ahead and are not to begin where they are. They
	// are Queued again once the instance has said that they have not begun.
	CallBack []string
	// Wake is when to decide again at the latest. Zero: only upon news.
	Wake time.Time

	w        *World
	outcomes []outcome // by index into World.Containers
	reasons  []reason
	queued   int32
	holdoffs []Holdoff // a copy of the World's
	byPrice  []int32   // as in planner
	held     []held
	fits     []bool
}
