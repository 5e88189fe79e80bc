package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"drover/internal/api"
)

// whole is a request that takes all of a small instance.
func whole(id string) api.Request {
	r := request(id)
	r.VCPUs = 2
	return r
}

// ends has the k-th instance report that an attempt has exited and nothing runs there.
func (w *world) ends(d time.Duration, k int, seq int64, id string) {
	w.reportFrom(d, k, seq, api.Report{State: api.StateIdle, CloudID: fmt.Sprintf("i-%d", k), Ended: []api.Ended{{Container: id, Attempt: 1, How: api.Exited}}})
}

func TestAChainStaysOnOneInstance(t *testing.T) {
	w := newWorld(t)
	const links = 50
	w.signal(time.Second, api.SignalRequest, whole("c-0"))
	w.up(10*time.Second, 0)
	for k := range links {
		end := time.Duration(20+10*k) * time.Second
		w.ends(end, 0, int64(2+k), fmt.Sprint("c-", k))
		if k+1 < links {
			w.signal(end, api.SignalRequest, whole(fmt.Sprint("c-", k+1)))
		}
	}
	w.deleted(time.Hour)
	state := w.manage(nil)
	assert.EqualValues(t, links, state.Totals.Exited)
	assert.Len(t, w.ordered(), links)
	assert.Len(t, w.started, 1)
}

// However far an instance is when the container that it was bought for goes elsewhere or
// is cancelled, it serves the next one.
func TestWhatBootsForAContainerThatWentElsewhereServesTheNext(t *testing.T) {
	booting := api.Report{State: api.StateBooting, CloudID: "i-1"}
	for name, accepted := range map[string]bool{"being created": false, "booting": true} {
		for how, leave := range map[string]func(w *world){
			"elsewhere": func(w *world) { w.ends(20*time.Second, 0, 2, "c-1") },
			"cancelled": func(w *world) {
				w.signal(20*time.Second, api.SignalRequest, api.Request{Kind: api.Cancel, ID: "c-2"})
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				w := newWorld(t)
				w.signal(time.Second, api.SignalRequest, whole("c-1"))
				w.up(5*time.Second, 0)
				w.signal(10*time.Second, api.SignalRequest, whole("c-2"))
				if accepted {
					w.reportFrom(15*time.Second, 1, 1, booting)
				}
				leave(w)
				w.signal(30*time.Second, api.SignalRequest, whole("c-3"))
				w.after(31*time.Second, func() {
					last := w.containers()[1]
					assert.Equal(t, "c-3", last.ID)
					assert.Equal(t, api.ContainerAssigned, last.State)
					assert.Equal(t, w.started[1].Name, last.Instance)
				})
				w.reportFrom(40*time.Second, 1, 2, api.Report{State: api.StateIdle, CloudID: "i-1", BootOutcome: api.BootSuccess})
				w.after(41*time.Second, func() {
					ordered := w.ordered()
					require.NotEmpty(t, ordered)
					assert.Equal(t, "c-3#1", ordered[len(ordered)-1])
				})
				w.ends(50*time.Second, 1, 3, "c-3")
				w.ends(51*time.Second, 0, 3, "c-2")
				w.ends(52*time.Second, 0, 4, "c-1")
				w.deleted(time.Minute)
				w.manage(nil)
				assert.Len(t, w.started, 2, "instances bought")
			})
		}
	}
}
