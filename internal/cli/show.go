package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"drover/internal/api"
)

// ShowInstance shows everything about an instance, also what it is busy with now: the
// answer to why it is stuck.
func (s *Session) ShowInstance(ctx context.Context, name string) error {
	found, err := s.findInstance(ctx, name)
	if err != nil {
		return err
	}
	state := sketch(found.info.GetWorkflowExecutionInfo())
	var silent error
	if found.running() {
		silent = s.query(ctx, found.id, "", api.QueryState, &state)
	} else {
		ctx, cancel := context.WithTimeout(ctx, queryTimeout)
		defer cancel()
		silent = s.Client.GetWorkflow(ctx, found.id, "").Get(ctx, &state)
	}
	if silent != nil { // what Temporal knows is still worth showing
		silent = fmt.Errorf("instance %s: %s", state.Name, reason(silent))
		state.State = unanswered
	}
	state = state.CostsUntil(s.Print.now())
	state.LastProbe = lastProbe(found, state.LastProbe)
	busy := doing(found)
	if s.Print.JSON {
		err = s.Print.Encode(struct {
			api.InstanceState
			Doing []Doing `json:"doing"`
		}{state, busy})
	} else {
		s.printInstance(state)
		err = s.printDoing(busy)
	}
	return cmp.Or(silent, err)
}

func (s *Session) printInstance(i api.InstanceState) {
	line := func(name, value string) {
		if value != "" {
			s.Print.Linef("%-15s %s", name+":", clean(value))
		}
	}
	line("name", i.Name)
	line("fleet", i.Fleet)
	line("state", i.State+since(s.Print.Ago(i.Since))+because(i.Reason))
	line("outcome", i.Outcome)
	line("idle behavior", string(i.IdleBehavior)+because(i.BehaviorReason)+by(i.BehaviorBy))
	line("type", fmt.Sprintf("%s (%s), %.4g an hour", i.Type, i.ProviderType, i.Price))
	line("cloud ID", i.CloudID)
	line("address", i.Address)
	line("running", strings.Join(i.Running, ", "))
	line("last container", i.LastContainer)
	line("last busy", ago(s.Print.Ago(i.LastBusy)))
	line("boot", i.BootOutcome)
	line("created", ago(s.Print.Ago(i.CreatedAt)))
	line("up", ago(s.Print.Ago(i.UpAt)))
	line("last probe", ago(s.Print.Ago(i.LastProbe)))
	line("gone", ago(s.Print.Ago(i.GoneAt)))
	line("cost", fmt.Sprintf("%.4g, of which %.4g while containers ran", i.Cost, i.BusyCost))
	line("workflow", i.WorkflowID+" "+i.RunID)
	for _, note := range i.Notes {
		line("note", note)
	}
}

func (s *Session) printDoing(busy []Doing) error {
	if len(busy) == 0 {
		return nil
	}
	s.Print.Linef("")
	rows := make([][]string, 0, len(busy))
	for _, d := range busy {
		next := ""
		if !d.NextAttempt.IsZero() {
			next = "in " + Short(d.NextAttempt.Sub(s.Print.now()))
		}
		rows = append(rows, []string{d.Activity, d.State, fmt.Sprint(d.Attempt), s.Print.Ago(d.ScheduledAt), next, shorten(d.LastFailure, 200)})
	}
	return s.Print.Table([]string{"BUSY WITH", "STATE", "ATTEMPT", "FOR", "AGAIN", "LAST FAILURE"}, rows)
}

func since(t string) string {
	if t == "" {
		return ""
	}
	return " for " + t
}

func ago(t string) string {
	if t == "" {
		return ""
	}
	return t + " ago"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " (by " + who + ")"
}
