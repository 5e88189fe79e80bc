package activities

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"drover/internal/api"
	"drover/internal/cloud"
	"drover/internal/cloud/faults"
	"drover/internal/fleetspec"
)

// withFaults returns the driver of a fleet with the faults that are to be injected.
func (a *Activities) withFaults(driver cloud.Driver, fleet string, injected *fleetspec.Faults) cloud.Driver {
	if injected == nil {
		return driver
	}
	return faults.New(driver, faults.Config{Faults: *injected, Fleet: fleet, Directory: filepath.Join(a.stateDir, "faults")})
}

// driverOf returns the driver of a machine's fleet.
func (a *Activities) driverOf(ctx context.Context, m api.Machine) (cloud.Driver, error) {
	injected := m.Faults
	if injected != nil {
		injected = a.faultsNow(ctx, m)
	}
	return a.driver(m.Fleet, m.Driver, m.Local, injected)
}

// faultsNow asks a machine's fleet what is to be injected. An activity that a fault
// keeps from succeeding is tried again with the same input, so that a fault in there
// could never be taken back. The machine's own are for when the fleet does not answer.
func (a *Activities) faultsNow(ctx context.Context, m api.Machine) *fleetspec.Faults {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var state api.FleetState
	answer, err := a.client.QueryWorkflow(ctx, api.FleetWorkflowID(m.Fleet), "", api.QueryState)
	if err == nil {
		err = answer.Get(&state)
	}
	var missing *serviceerror.NotFound
	switch {
	case err == nil:
		return state.Spec.Faults
	case errors.As(err, &missing):
		return nil
	}
	activity.GetLogger(ctx).Warn("the fleet does not say which faults to inject", "fleet", m.Fleet, "error", err)
	return m.Faults
}
