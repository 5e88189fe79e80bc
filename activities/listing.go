package activities

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"

	"drover/internal/api"
	"drover/internal/sshexec"
)

// RunProbe lists what runs on the instance, without what belongs to other fleets.
func (a *Activities) RunProbe(ctx context.Context, m api.Machine) (api.Listing, error) {
	listing, err := a.list(ctx, m)
	if err != nil {
		return listing, a.sshFailed(ctx, m, err)
	}
	foreign, err := a.foreigners(ctx, m.Fleet, listing.Containers)
	return without(listing, foreign), err
}

// list has the runner list what runs on the instance.
func (a *Activities) list(ctx context.Context, m api.Machine) (api.Listing, error) {
	pool, target, err := a.target(m)
	if err != nil {
		return api.Listing{}, err
	}
	var out bytes.Buffer
	if err := a.runBriefly(ctx, pool, target, sshexec.Command{Line: sshexec.Quote(m.Runner) + " list", Stdout: &out}); err != nil {
		return api.Listing{}, fmt.Errorf("run probe: %w", err)
	}
	return parseListing(out.String()), nil
}

// parseListing reads what `runner list` prints. Lines that it does not know are
// ignored: they are of a later version.
func parseListing(out string) api.Listing {
	var l api.Listing
	add := func(names *[]string, name string) {
		if !slices.Contains(*names, name) {
			*names = append(*names, name)
		}
	}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && fields[0] == "broken":
			l.Broken = true
		case len(fields) == 1 && isAttempt(fields[0]):
			add(&l.Containers, fields[0])
		case len(fields) == 2 && fields[1] == "stale" && isAttempt(fields[0]):
			add(&l.Containers, fields[0])
			add(&l.Stale, fields[0])
		}
	}
	return l
}

func isAttempt(name string) bool {
	_, _, err := api.ParseOnInstance(name)
	return err == nil
}

// foreigners returns the attempts that are of other fleets.
func (a *Activities) foreigners(ctx context.Context, fleet string, names []string) (foreign []string, err error) {
	for _, name := range names {
		other, err := a.ofAnotherFleet(ctx, fleet, name)
		if err != nil {
			return nil, err
		}
		if other {
			foreign = append(foreign, name)
		}
	}
	return foreign, nil
}

// without returns a listing without the given attempts.
func without(l api.Listing, names []string) api.Listing {
	given := func(name string) bool { return slices.Contains(names, name) }
	l.Containers = slices.DeleteFunc(slices.Clone(l.Containers), given)
	l.Stale = slices.DeleteFunc(slices.Clone(l.Stale), given)
	return l
}

// ofAnotherFleet reports whether an attempt is of a container that says that it
// belongs to another fleet.
func (a *Activities) ofAnotherFleet(ctx context.Context, fleet, name string) (bool, error) {
	id, _, err := api.ParseOnInstance(name)
	if err != nil {
		return false, err
	}
	for _, workflowID := range []string{api.ContainerWorkflowID(id), id} {
		described, err := a.client.DescribeWorkflowExecution(ctx, workflowID, "")
		var missing *serviceerror.NotFound
		if errors.As(err, &missing) {
			continue
		}
		if err != nil {
			return false, err
		}
		attribute := described.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[api.AttributeFleet.GetName()]
		var of string
		if attribute != nil {
			if err := converter.GetDefaultDataConverter().FromPayload(attribute, &of); err != nil {
				return false, err
			}
		}
		return of != "" && of != fleet, nil
	}
	return false, nil
}
