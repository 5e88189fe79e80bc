package cloudtest

import (
	"maps"
	"sync"

	"drover/internal/cloud"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tagsOf returns those of an instance's tags that it also is to have.
func (s *suite) tagsOf(name string, wanted map[string]string) map[string]string {
	instance, err := s.Second.Get(s.t.Context(), name)
	require.NoError(s.t, err)
	maps.DeleteFunc(instance.Tags, func(key, _ string) bool { _, ok := wanted[key]; return !ok })
	return instance.Tags
}

func tagsOnCreate(s *suite) {
	req := s.request()
	req.Tags[cloud.TagSecret] = "a secret, with signs: =\"'&%ü"
	created := s.create(s.Driver, req)
	for key, value := range req.Tags {
		assert.Equal(s.t, value, created.Tags[key], key)
	}
	assert.Equal(s.t, req.Tags, s.tagsOf(req.Name, req.Tags))
}

func tagKeepsOthers(s *suite) {
	req := s.request()
	s.create(s.Driver, req)
	wanted := maps.Clone(req.Tags)
	changes := []map[string]string{{cloud.TagIdleBehavior: "hold"}, {"one": "1"}, {"two": "2", "three": ""}}
	var done sync.WaitGroup
	errs := make([]error, len(changes))
	for i, change := range changes {
		maps.Copy(wanted, change)
		done.Go(func() { errs[i] = s.Driver.Tag(s.t.Context(), req.Name, change) })
	}
	done.Wait()
	for _, err := range errs {
		require.NoError(s.t, err)
	}
	s.eventually("all tags are there", func() bool { return maps.Equal(wanted, s.tagsOf(req.Name, wanted)) })
	require.NoError(s.t, s.Second.Tag(s.t.Context(), req.Name, map[string]string{"one": "1"}))
	assert.Equal(s.t, wanted, s.tagsOf(req.Name, wanted))
}

func tagUnknown(s *suite) {
	err := s.Driver.Tag(s.t.Context(), Name(s.t), map[string]string{"a": "b"})
	assert.Equal(s.t, cloud.NotFound, cloud.ClassOf(err), "%v", err)
	req := s.request()
	s.create(s.Driver, req)
	require.NoError(s.t, s.Driver.Destroy(s.t.Context(), req.Name))
	s.awaitEnd(s.Driver, req.Name)
	err = s.Driver.Tag(s.t.Context(), req.Name, map[string]string{"a": "b"})
	assert.Equal(s.t, cloud.NotFound, cloud.ClassOf(err), "%v", err)
}
