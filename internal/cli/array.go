package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"drover/internal/api"
	"drover/internal/indices"
)

// Array is an array that was found, or a part of one.
type Array struct {
	Name string
	// Elements are all that it was submitted with, or those that were asked for.
	Elements indices.Set
	// Containers are the elements that exist, by index.
	Containers map[int]Container
	// memo is what all elements carry.
	memo api.Array
}

// Label is the array with its elements: night[0-99].
func (a *Array) Label() string { return a.Name + "[" + a.Elements.String() + "]" }

// missing are the elements that do not exist: not yet submitted, or forgotten.
func (a *Array) missing() []int {
	return slices.DeleteFunc(slices.Clone(a.Elements), func(index int) bool {
		_, exists := a.Containers[index]
		return exists
	})
}

// alive are the elements that have not ended, in order.
func (a *Array) alive() []Container {
	var running []Container
	for _, index := range a.Elements {
		if c, exists := a.Containers[index]; exists && c.Running() {
			running = append(running, c)
		}
	}
	return running
}

// elementOf returns of which array a container is an element, and which. Its memo says
// so, and its workflow ID has to agree.
func elementOf(info *workflowpb.WorkflowExecutionInfo) (memo api.Array, index int, ok bool) {
	payload := info.GetMemo().GetFields()[api.MemoArray]
	if payload == nil || converter.GetDefaultDataConverter().FromPayload(payload, &memo) != nil {
		return api.Array{}, 0, false
	}
	id, contracted := strings.CutPrefix(info.GetExecution().GetWorkflowId(), api.ContainerWorkflowID(""))
	name, index, formed := api.ParseElementID(id)
	return memo, index, contracted && formed && name == memo.Name
}

// arraysOf makes arrays of what a list of workflows has of them. Of several runs of a
// container the last counts, and of several arrays of one name that of the last element.
func arraysOf(found []*workflowpb.WorkflowExecutionInfo) map[string]*Array {
	arrays, seen := map[string]*Array{}, map[string]bool{}
	found = slices.SortedStableFunc(slices.Values(found), func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return b.GetStartTime().AsTime().Compare(a.GetStartTime().AsTime())
	})
	for _, info := range found {
		id := info.GetExecution().GetWorkflowId()
		memo, index, ok := elementOf(info)
		if seen[id] || !ok {
			seen[id] = true
			continue
		}
		seen[id] = true
		a := arrays[memo.Name]
		if a == nil {
			elements, err := indices.Parse(memo.Elements)
			if err != nil {
				continue // it was not made by drover
			}
			a = &Array{Name: memo.Name, Elements: elements, Containers: map[int]Container{}, memo: memo}
			arrays[memo.Name] = a
		}
		if a.memo == memo && a.Elements.Contains(index) {
			a.Containers[index] = carriesOn(containerOf(info))
		}
	}
	return arrays
}

// namesInQuery is how many arrays one query looks for.
const namesInQuery = 20

// arrays finds the arrays of some names. Visibility does not know yet what is a second
// old: ids are containers that are looked at themselves then. seen are the IDs of all
// containers that could be elements by their names.
func (s *Session) arrays(ctx context.Context, names []string, ids ...string) (arrays map[string]*Array, seen map[string]bool, err error) {
	var found []*workflowpb.WorkflowExecutionInfo
	var errs []error
	for some := range slices.Chunk(names, namesInQuery) {
		infos, err := s.list(ctx, ofArrays(some...), 0)
		found, errs = append(found, infos...), append(errs, err)
	}
	seen = map[string]bool{}
	for _, info := range found {
		seen[containerOf(info).ID] = true
	}
	unseen := slices.DeleteFunc(ids, func(id string) bool { return seen[id] })
	infos, describeErrs := make([]*workflowpb.WorkflowExecutionInfo, len(unseen)), make([]error, len(unseen))
	each(len(unseen), func(i int) { infos[i], describeErrs[i] = s.describe(ctx, unseen[i]) })
	for _, info := range infos {
		if info != nil {
			found = append(found, info)
		}
	}
	return arraysOf(found), seen, errors.Join(append(errs, describeErrs...)...)
}

// describe asks Temporal about a container. Nil: it does not exist.
func (s *Session) describe(ctx context.Context, id string) (*workflowpb.WorkflowExecutionInfo, error) {
	described, err := s.Client.DescribeWorkflowExecution(ctx, api.ContainerWorkflowID(id), "")
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("container %s: %s", id, reason(err))
	}
	return described.GetWorkflowExecutionInfo(), nil
}

// ofArrays is the visibility query for what could be elements of arrays.
func ofArrays(names ...string) string {
	var prefixes []string
	for _, name := range names {
		prefixes = append(prefixes, fmt.Sprintf("WorkflowId STARTS_WITH '%s.'", api.ContainerWorkflowID(name)))
	}
	return ofType(api.ContainerWorkflow, "("+strings.Join(prefixes, " OR ")+")")
}

// findArray finds an array with all its elements that exist. Nil: there is none.
func (s *Session) findArray(ctx context.Context, name string) (*Array, error) {
	if api.CheckContainerID(name) != nil {
		return nil, nil
	}
	arrays, _, err := s.arrays(ctx, []string{name})
	if err != nil || arrays[name] == nil {
		return nil, err
	}
	return arrays[name], s.complete(ctx, arrays[name])
}

// complete looks for elements that visibility does not know yet.
func (s *Session) complete(ctx context.Context, a *Array) error {
	missing := a.missing()
	found, errs := make([]*Container, len(missing)), make([]error, len(missing))
	each(len(missing), func(i int) { found[i], errs[i] = s.findElement(ctx, a.memo, missing[i]) })
	for i, c := range found {
		if c != nil {
			a.Containers[missing[i]] = *c
		}
	}
	return errors.Join(errs...)
}

// findElement finds an element of an array. Nil: it does not exist.
func (s *Session) findElement(ctx context.Context, memo api.Array, index int) (*Container, error) {
	info, err := s.describe(ctx, api.ElementID(memo.Name, index))
	if err != nil || info == nil {
		return nil, err
	}
	if has, _, ok := elementOf(info); !ok || has != memo {
		return nil, nil
	}
	c := containerOf(info)
	return &c, nil
}

// find finds what a command is about: a container, an array, or by NAME[0-9] some
// elements of one. One of both is returned.
func (s *Session) find(ctx context.Context, reference string) (*Container, *Array, error) {
	name, elements, isArray := strings.Cut(strings.TrimSuffix(reference, "]"), "[")
	isArray = isArray && strings.HasSuffix(reference, "]")
	if !isArray {
		name = reference
		c, err := s.FindContainer(ctx, name)
		if !errors.Is(err, errNoContainer) {
			return &c, nil, err
		}
	}
	a, err := s.findArray(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if a == nil {
		return nil, nil, fmt.Errorf("container %q %w", reference, errNoContainer)
	}
	if isArray {
		err = a.narrow(elements)
	}
	return nil, a, err
}

// narrow leaves only some elements in the array.
func (a *Array) narrow(elements string) error {
	some, err := indices.Parse(elements)
	if err != nil {
		return Usagef("%s[%s]: %w", a.Name, elements, err)
	}
	for _, index := range some {
		if !a.Elements.Contains(index) {
			return fmt.Errorf("array %s has no element %d; it has %s", a.Name, index, a.Elements)
		}
	}
	a.Elements = some
	maps.DeleteFunc(a.Containers, func(index int, _ Container) bool { return !some.Contains(index) })
	return nil
}

// carriesOn makes of the run of a workflow, which a later run may go on from, what the
// whole is.
func carriesOn(c Container) Container {
	if c.Status == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW {
		c.Status, c.RunID = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, ""
	}
	return c
}
