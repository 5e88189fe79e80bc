package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"drover/internal/api"
	"drover/internal/pause"
)

// registers are what is asked of fleets about their containers.
type registers struct {
	client client.Client
	// open: what a fleet that has been terminated would say is out of date.
	open bool

	mu     sync.Mutex
	fleets map[string]*register
}

// of returns the register of a fleet.
func (r *registers) of(fleet string) *register {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fleets[fleet] == nil {
		r.fleets[fleet] = &register{client: r.client, open: r.open, fleet: fleet}
	}
	return r.fleets[fleet]
}

// register asks one fleet about its containers. A query costs the fleet's workflow about
// as much as a step of its own, so that what is asked while a query is under way goes
// into one that begins when that has been answered.
type register struct {
	client client.Client
	open   bool
	fleet  string
	gathering[question]
}

// question is what is asked about one container.
type question struct {
	id     string
	answer chan<- answer
}

type answer struct {
	state api.ContainerState
	err   error
}

// ask returns what the fleet says about a container, in answer to a query that began
// after the call. The state is empty when the fleet does not know it.
func (r *register) ask(ctx context.Context, id string) (api.ContainerState, error) {
	answered := make(chan answer, 1)
	r.add(question{id, answered}, r.work)
	select {
	case a := <-answered:
		return a.state, a.err
	case <-ctx.Done():
		return api.ContainerState{}, ctx.Err()
	}
}

// work asks until there are no more questions.
func (r *register) work() {
	for {
		questions := r.round(func(waiting []question) int { return min(len(waiting), askedAtOnce) })
		if len(questions) == 0 {
			return
		}
		states, err := r.query(questions)
		for _, q := range questions {
			q.answer <- answer{states[q.id], err}
		}
	}
}

// askedAtOnce is about how many containers one query asks: its answer may have 2 MB.
const askedAtOnce = 1000

// errNotOpen says that a fleet has been deleted or terminated.
var errNotOpen = errors.New("the fleet no longer exists")

// query asks the fleet about several containers.
func (r *register) query(questions []question) (map[string]api.ContainerState, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	var wanted api.ContainersQuery
	for _, q := range questions {
		wanted.IDs = append(wanted.IDs, q.id)
	}
	var page api.ContainersPage
	reply, err := r.reply(ctx, wanted)
	if err == nil {
		err = reply.Get(&page)
	}
	states := make(map[string]api.ContainerState, len(page.Containers))
	for _, c := range page.Containers {
		states[c.ID] = c
	}
	return states, err
}

// reply asks once. A run of the fleet that continues as new while it is asked is closed,
// and the next one answers.
func (r *register) reply(ctx context.Context, wanted api.ContainersQuery) (converter.EncodedValue, error) {
	if !r.open {
		return r.client.QueryWorkflow(ctx, api.FleetWorkflowID(r.fleet), "", api.QueryContainers, wanted)
	}
	for began := time.Now(); ; {
		answer, err := r.client.QueryWorkflowWithOptions(ctx, &client.QueryWorkflowWithOptionsRequest{
			WorkflowID: api.FleetWorkflowID(r.fleet), QueryType: api.QueryContainers, Args: []any{wanted},
			QueryRejectCondition: enumspb.QUERY_REJECT_CONDITION_NOT_OPEN,
		})
		switch {
		case err != nil:
			return nil, err
		case answer.QueryRejected == nil:
			return answer.QueryResult, nil
		case answer.QueryRejected.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW:
			return nil, errNotOpen
		}
		if err := pause.For(ctx, soon(began)); err != nil {
			return nil, err
		}
	}
}
