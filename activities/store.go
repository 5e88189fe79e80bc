package activities

import (
	"context"
	"sync"

	"drover/internal/output"
)

// openStore is a store that is opened once.
type openStore struct {
	mu    sync.Mutex
	store *output.Store
}

// store returns the output store of a URL, opened when it is first needed.
func (a *Activities) store(ctx context.Context, url string) (*output.Store, error) {
	a.mu.Lock()
	s := a.stores[url]
	if s == nil {
		s = &openStore{}
		a.stores[url] = s
	}
	a.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil {
		return s.store, nil
	}
	store, err := output.Open(context.WithoutCancel(ctx), url)
	if err != nil {
		return nil, err
	}
	s.store = store
	return store, nil
}
