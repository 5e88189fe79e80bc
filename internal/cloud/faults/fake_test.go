package faults_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"drover/internal/cloud"
)

// provider is a driver of a cloud in memory, which counts the calls that reach it.
type provider struct {
	mu        sync.Mutex
	instances map[string]cloud.Instance
	calls     map[string]int
	// refuses is the error of every call. Nil: none.
	refuses error
}

func newProvider() *provider {
	return &provider{instances: map[string]cloud.Instance{}, calls: map[string]int{}}
}

// reached counts a call and returns its error.
func (p *provider) reached(ctx context.Context, call string) error {
	p.calls[call]++
	return errors.Join(ctx.Err(), p.refuses)
}

func (p *provider) count(call string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[call]
}

func (p *provider) Create(ctx context.Context, req cloud.CreateRequest) (cloud.Instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reached(ctx, "create"); err != nil {
		return cloud.Instance{}, err
	}
	if _, exists := p.instances[req.Name]; !exists {
		p.instances[req.Name] = cloud.Instance{
			Name: req.Name, CloudID: "i-" + req.Name, State: cloud.Running, ProviderType: req.ProviderType, CreatedAt: time.Now(),
		}
	}
	return p.instances[req.Name], nil
}

func (p *provider) Get(ctx context.Context, name string) (cloud.Instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reached(ctx, "get"); err != nil {
		return cloud.Instance{}, err
	}
	instance, exists := p.instances[name]
	if !exists {
		return cloud.Instance{}, &cloud.Error{Class: cloud.NotFound, Op: "get " + name, Err: errors.New("no such instance")}
	}
	return instance, nil
}

func (p *provider) List(ctx context.Context) ([]cloud.Instance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reached(ctx, "list"); err != nil {
		return nil, err
	}
	var instances []cloud.Instance
	for _, instance := range p.instances {
		if instance.State != cloud.Terminated {
			instances = append(instances, instance)
		}
	}
	return instances, nil
}

func (p *provider) Destroy(ctx context.Context, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reached(ctx, "destroy"); err != nil {
		return err
	}
	if instance, exists := p.instances[name]; exists {
		instance.State, instance.Reason = cloud.Terminated, "destroyed"
		p.instances[name] = instance
	}
	return nil
}

func (p *provider) Tag(ctx context.Context, _ string, _ map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reached(ctx, "tag")
}

// recorder is a provider that keeps consoles.
type recorder struct{ *provider }

func (r recorder) ConsoleOutput(ctx context.Context, _ string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return "booted", r.reached(ctx, "console")
}
