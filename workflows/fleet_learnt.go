package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"drover/internal/api"
	"drover/internal/schedule"
)

// refused folds in why the cloud did not create an instance.
func (f *fleet) refused(ctx workflow.Context, m *machine, report api.Report) {
	r, now := report.Refusal, workflow.Now(ctx)
	scope, name := f.instanceType(m.Type).RuledOut(schedule.Scope(r.Scope))
	room := r.Class == "quota" || r.Class == "capacity"
	switch {
	case room && m.Accepted: // and it could not be had after all
		f.learnt.TakenBack(m.Type, r.Message, askedAt(report), now)
	case r.Class == "quota" && scope == schedule.ScopeAll:
		f.learnt.QuotaRefused(f.accepted(), now)
	case r.Class == "quota":
		f.learnt.QuotaExceeded(scope, name, r.Message, now)
	case r.Class == "capacity":
		f.learnt.CapacityRefused(scope, name, r.Message, now)
	case r.Class == "rate-limit":
		f.learnt.RateLimited(askedAt(report), r.RetryAt, now)
	case r.Class == "denied":
		f.learnt.CreateFailed("", r.Message, true, now)
	default:
		f.learnt.CreateFailed(m.Type, r.Message, r.Class == api.ErrorInvalid, now)
	}
}

// bootOver folds in how the boot of an instance has ended, if it has. That is known when
// the instance begins to leave, which is when another one would be bought for it.
func (f *fleet) bootOver(ctx workflow.Context, m *machine, r api.Report) {
	now, asked := workflow.Now(ctx), askedAt(r)
	failed := r.BootOutcome == api.BootFailure || r.BootOutcome == api.BootDisappeared
	switch {
	case r.BootOutcome == api.BootSuccess:
		f.learnt.Booted(m.Type)
	case failed && !m.Accepted:
		f.learnt.CreateFailed(m.Type, r.Reason, false, now)
	case r.BootOutcome == api.BootDisappeared && f.instanceType(m.Type).Preemptible:
		f.learnt.TakenBack(m.Type, r.Reason, asked, now)
	case failed:
		f.learnt.BootFailed(m.Type, r.Reason, asked, now)
	}
}

// askedAt is when the fleet asked for the instance that reports, unless it was found.
func askedAt(r api.Report) time.Time { return fromMilliseconds(r.Incarnation) }
