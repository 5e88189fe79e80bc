package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// createTries is how often an error that is no refusal of the cloud's is met before the
// fleet is told, which tells those who wait, and tries another one when it sees fit. The
// tries cost no history, and each asks for the same instance: where only the answer was
// lost, the next one finds it.
const createTries = 3

// exists makes sure that there is an instance.
func (i *instance) exists(ctx workflow.Context) bool {
	i.created = true
	i.changed(ctx)
	workflow.GoNamed(ctx, "boot timeout", i.bootClock)
	if i.in.Found != nil || i.in.Carried != nil {
		i.report()
		return true
	}
	return i.create(ctx)
}

// create asks the cloud for the instance and reports whether it exists. On hold, it goes
// on asking.
func (i *instance) create(ctx workflow.Context) bool {
	i.tagged = i.state.IdleBehavior
	for {
		err := i.ask(ctx)
		switch {
		case err == nil:
			i.refusal, i.late = nil, "" // on hold, it may have failed before
			i.state.CloudID = i.machine.CloudID
			i.changed(ctx)
			i.report()
			return !i.mustLeave()
		case typeOf(err) == api.ErrorRefused:
			i.refused(ctx, err)
			return false
		case i.mustLeave():
			return false
		}
		i.failed(ctx, err)
		if typeOf(err) == api.ErrorInvalid {
			i.await(ctx, i.mustLeave)
		}
		if i.mustLeave() {
			return false
		}
	}
}

// ask has the cloud asked for the instance a few times; on hold, until it answers. It asks for
// the same every time, tags included: an earlier try may have created it.
func (i *instance) ask(ctx workflow.Context) error {
	in := api.CreateInput{Machine: i.machine, Type: i.in.Type, Behavior: i.tagged, InitCommand: i.in.Spec.InitCommand}
	ctx, cancel := workflow.WithCancel(ctx)
	options := activityOptions(fmt.Sprintf("create %s, a %s", i.in.Name, i.in.Type.Name), time.Minute)
	options.WaitForCancellation = true // an answer that is still out would be an instance that nobody knows
	options.RetryPolicy.BackoffCoefficient = 2
	options.RetryPolicy.MaximumInterval = 30 * time.Second
	if i.state.IdleBehavior != api.Hold {
		options.RetryPolicy.MaximumAttempts = createTries
	}
	created := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.CreateInstanceActivity, in)
	i.awaitBoot(ctx, "creation", created.IsReady)
	cancel()
	return created.Get(ctx, &i.machine)
}

// refused records that the cloud did not create the instance. Nothing exists then, unless
// an earlier try has created it.
func (i *instance) refused(ctx workflow.Context, err error) {
	refusal := api.CreateRefusal{Message: reasonOf(err)}
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.HasDetails() {
		if err := application.Details(&refusal); err != nil {
			i.log.Error("a refusal can't be read", "error", err)
		}
	}
	i.created = i.doubtful || refusal.Doubtful
	i.notCreated(ctx, refusal)
}

// failed records that asking for the instance failed, as often as it was tried. It may
// exist all the same.
func (i *instance) failed(ctx workflow.Context, err error) {
	i.doubtful = true
	refusal := api.CreateRefusal{Class: api.RefusedFailed, Message: reasonOf(err), Doubtful: true}
	if typeOf(err) == api.ErrorInvalid {
		refusal.Class = api.ErrorInvalid
	}
	i.notCreated(ctx, refusal)
	i.report()
}

func (i *instance) notCreated(ctx workflow.Context, refusal api.CreateRefusal) {
	i.refusal, i.mail.refusal = &refusal, &refusal
	i.late = "not created: " + refusal.Message
	i.note(ctx, i.late)
}
