package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// exists makes sure that there is an instance.
func (i *instance) exists(ctx workflow.Context) bool {
	i.created = true
	i.changed(ctx)
	workflow.GoNamed(ctx, "boot timeout", i.bootClock)
	if i.in.Found != nil {
		i.report()
		return true
	}
	return i.create(ctx)
}

// create asks the cloud for the instance and reports whether it exists.
func (i *instance) create(ctx workflow.Context) bool {
	in := api.CreateInput{Machine: i.machine, Type: i.in.Type, Behavior: i.state.IdleBehavior, InitCommand: i.in.Spec.InitCommand}
	ctx, cancel := workflow.WithCancel(ctx)
	options := activityOptions(fmt.Sprintf("create %s, a %s", i.in.Name, i.in.Type.Name), time.Minute)
	options.WaitForCancellation = true // an answer that is still out would be an instance that nobody knows
	options.RetryPolicy.BackoffCoefficient = 2
	options.RetryPolicy.MaximumInterval = 30 * time.Second
	created := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), api.CreateInstanceActivity, in)
	i.awaitBoot(ctx, "creation", created.IsReady)
	cancel()
	err := created.Get(ctx, &i.machine)
	var refused *temporal.ApplicationError
	switch {
	case err == nil:
		i.state.CloudID = i.machine.CloudID
		i.changed(ctx)
		i.report()
		return !i.mustLeave()
	case errors.As(err, &refused) && refused.Type() == api.ErrorRefused:
		i.refused(ctx, refused)
	case !i.mustLeave():
		i.late = "creation failed: " + reasonOf(err)
	}
	return false
}

// refused records that the cloud did not create the instance. Nothing exists then.
func (i *instance) refused(ctx workflow.Context, err *temporal.ApplicationError) {
	var refusal api.CreateRefusal
	if decodeErr := err.Details(&refusal); decodeErr != nil {
		refusal.Message = err.Message()
	}
	i.created = false
	i.refusal, i.mail.refusal = &refusal, &refusal
	i.late = "not created: " + refusal.Message
	i.note(ctx, i.late)
}
