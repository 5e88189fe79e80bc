package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
)

// enter changes the state, with its reason.
func (i *instance) enter(ctx workflow.Context, state, reason string) {
	if i.state.State != state {
		i.countBusy(ctx)
		i.state.Since = api.Time{Time: workflow.Now(ctx)}
	}
	i.state.State, i.state.Reason, i.settled = state, api.Clip(reason, textAtMost), state
	i.changed(ctx)
}

// settle derives idle or running from what is on the instance.
func (i *instance) settle(ctx workflow.Context) {
	i.state.Running = i.known()
	state := api.StateIdle
	if len(i.attempts) > 0 {
		state = api.StateRunning
	}
	s := i.state.State
	booted := i.state.BootOutcome == api.BootSuccess
	if s == state || i.leaves() || !booted {
		i.changed(ctx)
		return
	}
	now := workflow.Now(ctx)
	i.countBusy(ctx)
	if s == api.StateBooting || s == api.StateUnknown || state == api.StateRunning {
		i.settled = state // idle is shown when it has lasted
	}
	i.state.State, i.state.Since = state, api.Time{Time: now}
	if !i.destroy { // else it is why
		i.state.Reason = ""
	}
	i.changed(ctx)
}

// countBusy adds the time in state running that ends now.
func (i *instance) countBusy(ctx workflow.Context) { i.busyCost = i.busySoFar(ctx) }

// busySoFar is what the times in which containers ran have cost up to now.
func (i *instance) busySoFar(ctx workflow.Context) float64 {
	if i.state.State != api.StateRunning {
		return i.busyCost
	}
	return i.busyCost + i.state.Price*workflow.Now(ctx).Sub(i.state.Since.Time).Hours()
}

// countCost brings the costs up to now.
func (i *instance) countCost(ctx workflow.Context) {
	if i.state.State == api.StateGone {
		return
	}
	if !i.created {
		i.state.Cost, i.state.CostAt = 0, api.Time{}
		return
	}
	until := workflow.Now(ctx)
	i.state.BusyCost, i.state.CostAt = i.busySoFar(ctx), api.Time{Time: until}
	i.state.Cost = i.state.Price * until.Sub(i.state.CreatedAt.Time).Hours()
}

// changed shows the state: in the workflow's current details, which cost nothing,
// and in the search attributes, which are written when they differ.
func (i *instance) changed(ctx workflow.Context) {
	i.countCost(ctx)
	workflow.SetCurrentDetails(ctx, i.details())
	if i.settled == "" {
		i.settled = i.state.State
	}
	if i.shownState == i.settled && i.shownBehavior == i.state.IdleBehavior && i.shownCloudID == i.state.CloudID {
		return
	}
	updates := []temporal.SearchAttributeUpdate{
		api.AttributeState.ValueSet(i.settled),
		api.AttributeIdleBehavior.ValueSet(string(i.state.IdleBehavior)),
	}
	if i.shownState == "" {
		updates = append(updates, api.AttributeFleet.ValueSet(i.state.Fleet), api.AttributeInstanceType.ValueSet(i.state.Type))
	}
	if i.state.CloudID != "" {
		updates = append(updates, api.AttributeCloudID.ValueSet(i.state.CloudID))
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		i.log.Error("search attributes could not be set", "error", err)
	}
	i.shownState, i.shownBehavior, i.shownCloudID = i.settled, i.state.IdleBehavior, i.state.CloudID
}

// counts reports whether the metrics count the instance: one that this workflow has created.
// One that was found is counted by the workflow that created it.
func (i *instance) counts() bool { return i.in.Found == nil && i.state.CloudID != "" }

// time records how long something took, if the instance counts.
func (i *instance) time(ctx workflow.Context, name string, from, to api.Time) {
	if i.counts() {
		tags := map[string]string{"fleet": i.state.Fleet, "instance_type": i.state.Type}
		workflow.GetMetricsHandler(ctx).WithTags(tags).Timer(name).Record(to.Sub(from.Time))
	}
}

// details is what the Web UI shows on top of the workflow's page.
func (i *instance) details() string {
	s := i.state
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** since %s%s\n\n", s.State, stamp(s.Since), because(s.Reason))
	fmt.Fprintf(&b, "- idle behavior: %s%s%s\n", s.IdleBehavior, because(s.BehaviorReason), by(s.BehaviorBy))
	fmt.Fprintf(&b, "- type: %s (%s), %.4g an hour; %s\n", s.Type, s.ProviderType, s.Price, costs(s))
	fmt.Fprintf(&b, "- cloud ID: %s; address: %s\n", orNone(s.CloudID), orNone(s.Address))
	fmt.Fprintf(&b, "- containers: %s; last: %s\n", list(s.Running), orNone(s.LastContainer))
	fmt.Fprintf(&b, "- boot: %s; last probe seen: %s\n", orNone(s.BootOutcome), stamp(s.LastProbe))
	for _, note := range s.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	return b.String()
}

// notesAtMost is how many notes are kept, and textAtMost how many characters one may have.
// What a console says of a boot that failed is long; what strangers send may be longer, and
// the state of a workflow has to fit into 2 MB.
const notesAtMost, textAtMost = 10, 8000

// note keeps a sentence that a person should see; the last few are shown.
func (i *instance) note(ctx workflow.Context, text string) {
	text = api.Clip(text, textAtMost)
	i.log.Warn(text, "instance", i.state.Name)
	i.state.Notes = append(i.state.Notes, stamp(api.Time{Time: workflow.Now(ctx)})+" "+text)
	if extra := len(i.state.Notes) - notesAtMost; extra > 0 {
		i.state.Notes = slices.Delete(i.state.Notes, 0, extra)
	}
	i.changed(ctx)
}

// report has the fleet told where the instance stands.
func (i *instance) report() { i.mail.due = true }

// outbox is what an instance has to tell, and has not told yet.
type outbox struct {
	due      bool
	sending  bool
	seq      int64
	ended    []api.Ended
	outcomes []letter
	refused  []string
	refusal  *api.CreateRefusal
	gone     bool
	received int // signals, in this run of the workflow
}

// letter is an outcome on its way to a container.
type letter struct {
	workflowID string
	outcome    api.Outcome
}

func (o *outbox) outcome(workflowID string, outcome api.Outcome) {
	o.outcomes = append(o.outcomes, letter{workflowID, outcome})
}

// pending reports whether there is something to tell or being told.
func (o *outbox) pending() bool { return o.due || o.sending }

// deliverMail tells the fleet and the containers, several things at once where they
// arise together.
func (i *instance) deliverMail(ctx workflow.Context) {
	for {
		i.await(ctx, func() bool { return i.mail.due })
		i.mail.due, i.mail.sending = false, true
		messages := i.messages(ctx)
		if _, err := deliver(ctx, fmt.Sprintf("report %d to the fleet", i.mail.seq), messages); err != nil {
			i.note(ctx, "a report could not be delivered: "+reasonOf(err))
		}
		i.mail.sending = false
	}
}

// messages takes what is in the outbox. The fleet hears first: whoever submits the next
// container when one has ended finds its place free. What a last report says the fleet
// would forget with the instance, and the containers hear before it does.
func (i *instance) messages(ctx workflow.Context) []api.Message {
	i.mail.seq++
	report := api.Report{
		Instance: i.state.Name, Incarnation: i.in.Incarnation, Seq: i.mail.seq, OrdersSeen: i.ordersSeen,
		Type: i.state.Type, State: i.state.State, Behavior: i.state.IdleBehavior, CloudID: i.state.CloudID,
		Running: i.names(), Ended: i.mail.ended, Refused: i.mail.refused, Refusal: i.mail.refusal,
		BootOutcome: i.state.BootOutcome, Kept: i.kept, Listed: i.listed, Gone: i.mail.gone, Reason: i.state.Reason,
	}
	to := post{run: i.state.RunID, seq: i.mail.seq}
	if !report.Gone {
		to.signal(api.FleetWorkflowID(i.state.Fleet), api.SignalReport, report)
	}
	for _, l := range i.mail.outcomes {
		to.signal(l.workflowID, api.SignalOutcome, l.outcome)
	}
	if report.Gone {
		to.signal(api.FleetWorkflowID(i.state.Fleet), api.SignalReport, report)
	}
	i.mail.ended, i.mail.refused, i.mail.outcomes, i.mail.refusal = nil, nil, nil, nil
	return to.messages
}

func costs(s api.InstanceState) string {
	if s.CostAt.IsZero() {
		return "costs nothing"
	}
	return fmt.Sprintf("cost until %s: %.4f", stamp(s.CostAt), s.Cost)
}

func stamp(t api.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateTime)
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " (by " + who + ")"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
