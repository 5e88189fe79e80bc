package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// activityOptions are those of an activity that the server retries about every
// second, unless it names another delay, until it succeeds or is cancelled. One whose
// worker has died is soon tried on another: they heartbeat, or are done within seconds.
func activityOptions(summary string, startToClose time.Duration) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		ScheduleToCloseTimeout: forever,
		StartToCloseTimeout:    startToClose,
		HeartbeatTimeout:       heartbeatTimeout,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 1},
		Summary:                summary,
	}
}

// reasonOf returns the innermost message of an activity's error, for people.
func reasonOf(err error) string {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application.Message()
	}
	return err.Error()
}

// typeOf returns the type of an activity's application error.
func typeOf(err error) string {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		return application.Type()
	}
	return ""
}

// letOthersRun returns when every other coroutine has done what it can. A workflow that
// is about to end calls it first: a signal may be in the hands of a coroutine that has
// not run since it arrived, and would be lost.
func letOthersRun(ctx workflow.Context) {
	ran := false
	workflow.GoNamed(ctx, "after all others", func(workflow.Context) { ran = true })
	if err := workflow.Await(ctx, func() bool { return ran }); err != nil {
		workflow.GetLogger(ctx).Debug("cancelled while others run", "error", err)
	}
}

// isLong reports whether a run of a workflow that has received so many signals should
// continue as new: long before the server's limits. The server refuses that when a
// signal has come in since the workflow task began, and then the whole history is
// replayed for the next try; a long one takes longer than the pause between two
// signals, and would never get through.
func isLong(ctx workflow.Context, received int) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > 2000 || received > 500
}

// heartbeatTimeout is how long after a worker's sudden death its activities are given
// to another: those that last may have another one.
const heartbeatTimeout = 20 * time.Second

// lasting makes of an activity's options those of one that lasts as long as what it looks
// after. Thousands of these are what a server has most to do with.
func lasting(options workflow.ActivityOptions, heartbeat fleetspec.Duration) workflow.ActivityOptions {
	if heartbeat > 0 { // an instance of an earlier version has none
		options.HeartbeatTimeout = api.HeartbeatsMissed * heartbeat.D()
	}
	return options
}

// forever bounds activities that last as long as what they watch.
const forever = 10 * 365 * 24 * time.Hour
