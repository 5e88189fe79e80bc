package cli

import (
	"fmt"
	"maps"
	"strings"

	"drover/internal/api"
)

// show shows how many containers are where. last: nothing else comes.
func (g *gathering) show(last bool) {
	if g.screen == nil {
		return
	}
	g.mu.Lock()
	text := g.array.Name + ": " + g.progress()
	g.mu.Unlock()
	if last {
		g.screen.Clear()
		if g.screen.terminal {
			g.screen.Note(text)
			return
		}
	}
	g.screen.Status(text)
}

// progress says how many containers are where.
func (g *gathering) progress() string {
	n := maps.Clone(g.places)
	if n == nil {
		n = counts{}
	}
	failed := 0
	for _, e := range g.endings {
		if e.code() != 0 {
			failed++
		}
	}
	alive := len(g.containers) - len(g.endings)
	n[api.ContainerRunning] = min(n[api.ContainerRunning], alive)
	n[api.ContainerAssigned] = min(n[api.ContainerAssigned], alive-n[api.ContainerRunning])
	n[api.ContainerQueued] = alive - n[api.ContainerRunning] - n[api.ContainerAssigned]
	text := n.String()
	if done := len(g.endings); done > 0 || text == "" {
		text = strings.TrimPrefix(text+fmt.Sprintf(", %d done", done), ", ")
		if failed > 0 {
			text += fmt.Sprintf(" (%d failed)", failed)
		}
	}
	if !g.whole {
		text = fmt.Sprintf("submitted %d of %d: %s", len(g.containers), len(g.array.Elements), text)
	}
	if n[api.ContainerRunning] == 0 && alive > 0 && g.why != "" {
		text += "; first in line: " + g.why
	}
	return text
}

// counts are numbers of containers by state.
type counts map[string]int

// String names the states of those that have not ended: 3 running, 90 queued.
func (n counts) String() string {
	var parts []string
	for _, state := range []string{api.ContainerRunning, api.ContainerAssigned, api.ContainerQueued} {
		if n[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	return strings.Join(parts, ", ")
}
