package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/fleetspec"
)

// Apply is what `drover fleet apply` is told to do.
type Apply struct {
	// File is the fleet's YAML; "-" is stdin.
	File   string
	DryRun bool
	// Yes asks nobody.
	Yes   bool
	Stdin io.Reader
}

// preparation is how long apply waits to see whether a worker can work for the fleet.
const preparation = 10 * time.Second

// Applied is what `drover fleet apply -o json` prints.
type Applied struct {
	Name    string   `json:"name"`
	Created bool     `json:"created"`
	DryRun  bool     `json:"dry_run"`
	Changes []string `json:"changes"`
}

// ApplyFile creates or changes a fleet as a file says, after showing what changes.
func (s *Session) ApplyFile(ctx context.Context, a Apply) error {
	spec, err := readSpec(a)
	if err != nil {
		return err
	}
	running, err := s.FleetRuns(ctx, spec.Name)
	if err != nil {
		return err
	}
	applied := Applied{Name: spec.Name, Created: !running, DryRun: a.DryRun, Changes: []string{}}
	old := fleetspec.Default(spec.Name)
	if running {
		state, err := s.FleetState(ctx, spec.Name)
		if err != nil {
			return err
		}
		if state.Deleting {
			return fmt.Errorf("fleet %s is being deleted: it can be created anew once it is gone", spec.Name)
		}
		old = state.Spec
	}
	for _, change := range fleetspec.Diff(old, spec) {
		applied.Changes = append(applied.Changes, change.String())
	}
	s.showChanges(applied)
	if a.DryRun || running && len(applied.Changes) == 0 {
		return s.showApplied(applied)
	}
	if running && !a.Yes && !s.confirm(a.Stdin) {
		return fmt.Errorf("fleet %s is unchanged", spec.Name)
	}
	if applied.Created, err = s.Apply(ctx, spec); err != nil {
		return err
	}
	if err := s.showApplied(applied); err != nil {
		return err
	}
	return s.afterApply(ctx, spec.Name)
}

func readSpec(a Apply) (fleetspec.Spec, error) {
	if a.File == "-" {
		data, err := io.ReadAll(a.Stdin)
		if err != nil {
			return fleetspec.Spec{}, fmt.Errorf("read stdin: %w", err)
		}
		return fleetspec.Parse("stdin", data)
	}
	data, err := os.ReadFile(a.File)
	if err != nil {
		return fleetspec.Spec{}, fmt.Errorf("-f: %w", err)
	}
	return fleetspec.Parse(a.File, data)
}

// showChanges shows what is going to change, before it does.
func (s *Session) showChanges(a Applied) {
	if s.Print.JSON {
		return
	}
	switch {
	case a.Created && len(a.Changes) == 0:
		s.Print.Linef("fleet %s does not exist yet; its spec is the default one", a.Name)
	case a.Created:
		s.Print.Linef("fleet %s does not exist yet; its spec differs from the default one in:", a.Name)
	case len(a.Changes) == 0:
		s.Print.Linef("fleet %s: nothing changes", a.Name)
	default:
		s.Print.Linef("fleet %s changes:", a.Name)
	}
	for _, change := range a.Changes {
		s.Print.Linef("  %s", clean(change))
	}
}

// showApplied shows what has been done.
func (s *Session) showApplied(a Applied) error {
	switch {
	case s.Print.JSON:
		return s.Print.Encode(a)
	case a.DryRun:
		s.Print.Linef("dry run: nothing was done")
	case a.Created:
		s.Print.Linef("fleet %s is created", a.Name)
	case len(a.Changes) > 0:
		s.Print.Linef("fleet %s is changed", a.Name)
	}
	return nil
}

// confirm asks a person whether to go on. Where there is none, the answer is yes.
func (s *Session) confirm(stdin io.Reader) bool {
	if !IsTerminal(stdin) || !IsTerminal(s.Print.Err) {
		return true
	}
	fmt.Fprint(s.Print.Err, "change it? [y/N] ")
	answer, err := bufio.NewReader(stdin).ReadString('\n')
	return err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}

// afterApply says whether a worker can work for the fleet.
func (s *Session) afterApply(ctx context.Context, name string) error {
	state, err := s.AwaitFleet(ctx, name, preparation)
	if err != nil {
		s.Print.Notef("fleet %s: %v", name, err)
		return nil // it is applied; a worker may come later
	}
	if state.Problem != "" {
		return fmt.Errorf("fleet %s can't work: %s", name, state.Problem)
	}
	return nil
}

// does says that n of something do something.
func does(n int, noun, many, one string) string {
	if n == 1 {
		return countOf(n, noun) + " " + one
	}
	return countOf(n, noun) + " " + many
}

// DeleteFleet ends a fleet: its instances go. With drain, its containers end first.
func (s *Session) DeleteFleet(ctx context.Context, name string, drain bool) error {
	running, err := s.FleetRuns(ctx, name)
	if err != nil {
		return err
	}
	if !running {
		return s.noFleet(ctx, name)
	}
	state, err := update[api.FleetState](ctx, s, api.FleetWorkflowID(name), api.UpdateDelete, api.DeleteFleet{Drain: drain})
	if err != nil {
		return fmt.Errorf("fleet %s: %s", name, reason(err))
	}
	if s.Print.JSON {
		return s.Print.Encode(state)
	}
	s.Print.Linef("fleet %s is being deleted: %s first, then %s", name,
		does(state.Queued+state.Assigned+state.Running, "container", "end", "ends"), does(len(state.Instances), "instance", "go", "goes"))
	return nil
}
