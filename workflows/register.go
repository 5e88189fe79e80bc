package workflows

import (
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// Registry takes workflows: a worker, or a replayer of histories.
type Registry interface {
	// RegisterWorkflowWithOptions registers a function that is a workflow.
	RegisterWorkflowWithOptions(function any, options workflow.RegisterOptions)
}

// Register registers all workflows, under their names in package api. Those that run go on
// with the newest version of a worker's deployment.
func Register(r Registry) {
	for name, function := range map[string]any{
		api.FleetWorkflow: Fleet, api.InstanceWorkflow: Instance, api.ContainerWorkflow: Container,
	} {
		r.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade})
	}
}
