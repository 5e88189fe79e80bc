package activities

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"drover/internal/api"
)

// placement is where the fleet has placed a container, seen from an instance that was
// told to start an attempt of it.
type placement struct {
	elsewhere string // why it must not be started here
	err       error  // it can't be said now
}

// how is how an attempt ends that must not be started.
func (p placement) how() api.EndKind {
	if p.err != nil {
		return ""
	}
	return api.Unwanted
}

// placed asks the fleet, right before an attempt is started, whether it is to be started
// here. An order to start may come from a workflow task of the fleet that failed
// afterwards: the next try of the task may place the container elsewhere, and then this
// order has never been given. What a query answers is in the history.
func (r *remote) placed(ctx context.Context) placement {
	for began := time.Now(); ; {
		known, err := r.registers.of(r.in.Machine.Fleet).ask(ctx, r.in.Assignment.Container)
		switch here := known.Instance == r.in.Machine.Name; {
		case err != nil:
			return placement{err: fmt.Errorf("ask fleet %s: %w", r.in.Machine.Fleet, err)}
		case r.isElsewhere(known), here && known.Attempt > r.in.Assignment.Attempt:
			return placement{elsewhere: fmt.Sprintf("the fleet has placed attempt %d on %s", known.Attempt, known.Instance)}
		case here && known.State == api.ContainerRunning && known.Attempt == r.in.Assignment.Attempt:
			return placement{}
		case time.Since(began) > patience:
			return placement{err: fmt.Errorf("fleet %s has not placed container %s here", r.in.Machine.Fleet, r.in.Assignment.Container)}
		}
		if err := pause(ctx, soon(began)); err != nil {
			return placement{err: err}
		}
	}
}

// isElsewhere reports whether a container runs on another instance, as its fleet says.
func (r *remote) isElsewhere(known api.ContainerState) bool {
	return known.State == api.ContainerRunning && known.Instance != r.in.Machine.Name
}

// registers are what is asked of fleets about their containers.
type registers struct {
	client client.Client
	mu     sync.Mutex
	fleets map[string]*register
}

// of returns the register of a fleet.
func (r *registers) of(fleet string) *register {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fleets[fleet] == nil {
		r.fleets[fleet] = &register{client: r.client, fleet: fleet}
	}
	return r.fleets[fleet]
}

// register asks one fleet about its containers. A query costs the fleet's workflow about
// as much as a step of its own, so that what is asked while a query is under way goes
// into one that begins when that has been answered.
type register struct {
	client client.Client
	fleet  string

	mu      sync.Mutex
	waiting []question
	asking  bool
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
	r.mu.Lock()
	r.waiting = append(r.waiting, question{id, answered})
	if !r.asking {
		r.asking = true
		go r.work()
	}
	r.mu.Unlock()
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
		r.mu.Lock()
		questions := r.waiting
		r.waiting = nil
		r.asking = len(questions) > 0
		r.mu.Unlock()
		if len(questions) == 0 {
			return
		}
		states, err := r.query(questions)
		for _, q := range questions {
			q.answer <- answer{states[q.id], err}
		}
	}
}

// query asks the fleet about several containers.
func (r *register) query(questions []question) (map[string]api.ContainerState, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	var wanted api.ContainersQuery
	for _, q := range questions {
		wanted.IDs = append(wanted.IDs, q.id)
	}
	var page api.ContainersPage
	reply, err := r.client.QueryWorkflow(ctx, api.FleetWorkflowID(r.fleet), "", api.QueryContainers, wanted)
	if err == nil {
		err = reply.Get(&page)
	}
	states := make(map[string]api.ContainerState, len(page.Containers))
	for _, c := range page.Containers {
		states[c.ID] = c
	}
	return states, err
}
