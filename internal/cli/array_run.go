package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"

	"drover/internal/api"
	"drover/internal/indices"
)

// submissions is how many elements are submitted at once: enough for most of what a
// small server can take, and not so many that others would wait for it.
const submissions = 8

// arrayRun is an array that is being submitted.
type arrayRun struct {
	*gathering
	job    Job
	stop   context.CancelFunc // submits no more
	ended  chan struct{}      // closed when no more are submitted
	failed error              // why not all are, once ended is closed
	known  sync.Once          // says that the array exists already
}

// CheckArray says what is wrong with the name of an array, if anything.
func CheckArray(name string, elements indices.Set) error {
	if err := api.CheckContainerID(name); err != nil {
		return err
	}
	last := api.ElementID(name, elements[len(elements)-1])
	if err := api.CheckContainerID(last); err != nil {
		return fmt.Errorf("the last element's %w", err)
	}
	return nil
}

// runArray submits an array and, unless it is detached, waits for its end.
func (s *Session) runArray(ctx context.Context, job Job) error {
	drawn := job.ID == ""
	if drawn {
		job.ID = "a" + strings.TrimPrefix(NewContainerID(), "c")
	}
	memo := api.Array{Name: job.ID, Elements: job.Array.String()}
	array := &Array{Name: job.ID, Elements: job.Array, memo: memo}
	screen := NewScreen(s.Print.Out, s.Print.Err)
	r := &arrayRun{gathering: gather(s, array, screen), job: job, ended: make(chan struct{})}
	if !drawn {
		if err := r.compare(ctx); err != nil {
			return err
		}
	}
	submitting, stop := context.WithCancel(ctx)
	defer stop()
	r.stop = stop
	go r.submit(ctx, submitting)
	if job.Detach {
		return r.detach(ctx)
	}
	screen.Note(fmt.Sprintf("%s: %d containers: `drover ps %s` lists them, `drover logs %s` shows the output of one",
		job.ID, len(job.Array), job.ID, api.ElementID(job.ID, job.Array[0])))
	cancelled, err := s.attend(ctx, job, attended{
		kind: "array", id: job.ID, screen: screen, follow: r.follow, cancel: r.cancel, leave: r.finish,
		later: fmt.Sprintf("`drover ps %s` shows it, `drover wait %s` waits for its end", job.ID, job.ID),
	})
	if err != nil {
		return err
	}
	end := endOf(array, r.endings)
	if s.Print.JSON {
		if err := s.Print.Encode(end); err != nil {
			return err
		}
	}
	if cancelled != 0 && end.Failed > 0 {
		text, _ := end.failures()
		return &ExitError{Code: cancelled, Err: fmt.Errorf("array %s was cancelled: %s", array.Name, text)}
	}
	return end.Exit()
}

// compare refuses an array whose name is taken, and says if it exists already.
func (r *arrayRun) compare(ctx context.Context) error {
	name := r.array.Name
	_, err := r.session.FindContainer(ctx, name)
	if err == nil {
		return fmt.Errorf("array %s: there is a container of that name; give the array another: --name", name)
	}
	if !errors.Is(err, errNoContainer) {
		return err
	}
	arrays, seen, err := r.session.arrays(ctx, []string{name})
	if err != nil {
		return err
	}
	a := arrays[name]
	if a != nil && a.memo != r.array.memo {
		return fmt.Errorf("array %s exists already, with elements %s; give this one another --name", name, a.Elements)
	}
	for _, index := range r.array.Elements {
		id := api.ElementID(name, index)
		if a != nil {
			if c, exists := a.Containers[index]; exists {
				return r.recognize(ctx, c)
			}
		}
		if seen[id] {
			return r.taken(id)
		}
	}
	return nil
}

func (r *arrayRun) taken(id string) error {
	return fmt.Errorf("array %s: container %s exists already, and is no element of it; give the array another --name", r.array.Name, id)
}

// recognize says, once, that the array exists already.
func (r *arrayRun) recognize(ctx context.Context, c Container) (err error) {
	r.known.Do(func() {
		var spec api.ContainerSpec
		if spec, _, err = r.session.submitted(ctx, c); err != nil {
			err = fmt.Errorf("container %s: %s", c.ID, reason(err))
			return
		}
		note := fmt.Sprintf("array %s exists already, this is about that one", r.array.Label())
		if strings.Join(spec.Command, "\x00") != strings.Join(r.job.Spec.Command, "\x00") {
			note += ", whose command is another: " + spec.Label(60)
		}
		r.screen.Note("drover: " + note)
	})
	return err
}

// submit submits all elements, several at once, until wanted ends or one can't be. What
// has been sent by then is waited for, or nobody would know what exists.
func (r *arrayRun) submit(ctx, wanted context.Context) {
	defer close(r.ended)
	defer r.close()
	var mu sync.Mutex
	failed := func() error {
		mu.Lock()
		defer mu.Unlock()
		return cmp.Or(r.failed, wanted.Err())
	}
	eachOf(len(r.array.Elements), submissions, func(i int) {
		if failed() != nil {
			return
		}
		c, err := r.element(ctx, r.array.Elements[i])
		if err == nil {
			r.add(r.array.Elements[i], c)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		r.failed = cmp.Or(r.failed, err)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.containers) < len(r.array.Elements) {
		r.failed = cmp.Or(r.failed, wanted.Err())
	}
}

// element submits an element. One that exists is the same.
func (r *arrayRun) element(ctx context.Context, index int) (Container, error) {
	spec, memo := r.job.Spec, r.array.memo
	spec.Env = maps.Clone(spec.Env)
	if spec.Env == nil {
		spec.Env = map[string]string{}
	}
	spec.Env[api.EnvArrayID], spec.Env[api.EnvArrayIndex] = memo.Name, strconv.Itoa(index)
	spec.Env[api.EnvArrayCount] = strconv.Itoa(len(r.array.Elements))
	id := api.ElementID(memo.Name, index)
	c, exists, err := r.session.begin(ctx, id, spec, map[string]any{api.MemoArray: memo})
	if err != nil || !exists {
		return c, err
	}
	found, err := r.session.findElement(ctx, memo, index)
	switch {
	case err != nil:
		return c, err
	case found == nil:
		return c, r.taken(id)
	}
	return *found, r.recognize(ctx, *found)
}

// follow returns when all that has been submitted has ended.
func (r *arrayRun) follow(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-r.ended:
			if r.failed != nil && !errors.Is(r.failed, context.Canceled) {
				stop()
			}
		case <-watching.Done():
		}
	}()
	err := r.wait(watching)
	if ctx.Err() == nil && err != nil {
		return r.partly(r.failed)
	}
	return err
}

// cancel submits no more, and cancels what was.
func (r *arrayRun) cancel(ctx context.Context) error {
	r.stop()
	<-r.ended
	return r.session.cancelAll(ctx, r.unended())
}

// unended are the containers that have not ended, as far as is known.
func (r *arrayRun) unended() []Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	var containers []Container
	for _, index := range r.array.Elements {
		c, exists := r.containers[index]
		if _, ended := r.endings[index]; exists && !ended {
			containers = append(containers, c)
		}
	}
	return containers
}
