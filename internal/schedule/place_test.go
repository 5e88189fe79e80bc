package schedule

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// planCase is a world and all that is to be done in it.
type planCase struct {
	name  string
	world *world
	want  string // as plan says it
}

func runPlans(t *testing.T, cases []planCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(&c.world.World)
			assert.Equal(t, c.want, plan(&d))
		})
	}
}

func TestOrder(t *testing.T) {
	runPlans(t, []planCase{
		{"what runs counts before anything is placed",
			fleet().up("small", "a").queue(one, "q1 q2").runs("a", one, "r"),
			"q1 on a, q2 awaits new 0, create small"},
		{"what was assigned to a booting instance keeps its place whatever comes with a higher priority",
			fleet().add(Booting, "small", "b").urgent(9, two, "high").assigned("b", two, "low"),
			"low awaits b, high awaits new 0, create small"},
		{"what was assigned to an instance that is being created keeps its place too",
			fleet().add(Creating, "small", "b").urgent(9, two, "high").assigned("b", two, "low"),
			"low awaits b, high awaits new 0, create small"},
		{"among the assigned priority decides who goes first to room that has appeared",
			fleet().add(Booting, "small", "b", "c").up("small", "a").assigned("b", two, "low").
				contain(Container{Shape: two, Priority: 1, Instance: "c", Binding: Assigned}, "high"),
			"high on a, low awaits b"},
		{"room that appears goes to the higher priority, and the assigned keeps its place",
			fleet().add(Booting, "small", "b").up("small", "a").assigned("b", two, "low").urgent(1, two, "high"),
			"high on a, low awaits b"},
		{"and to the one submitted earlier",
			fleet().add(Booting, "small", "b").up("small", "a").queue(two, "first").assigned("b", two, "second"),
			"first on a, second awaits b"},
		{"an assigned one goes to room that is too small for those before it, and leaves its place to them",
			fleet().add(Booting, "small", "b").up("small", "a").runs("a", one, "r").assigned("b", one, "low").urgent(1, two, "high"),
			"low on a, high awaits b"},
		{"what is assigned to an instance that has no room for all of it keeps its place by priority",
			fleet().add(Booting, "small", "b").assigned("b", two, "low").
				contain(Container{Shape: two, Priority: 1, Instance: "b", Binding: Assigned}, "high").urgent(2, two, "highest"),
			"high awaits b, highest awaits new 0, low awaits new 1, create small, create small"},
		{"once the instance is up the assigned are queued like everything",
			fleet().up("small", "b").assigned("b", two, "low").urgent(9, two, "high"),
			"high on b, low awaits new 0, create small"},
		{"an assigned container whose instance is gone is queued in its old place",
			fleet().up("small", "a").assigned("gone", two, "first").queue(two, "second"),
			"first on a, second awaits new 0, create small"},
		{"an assigned container whose instance is leaving is queued in its old place",
			fleet().up("small", "a").add(Leaving, "small", "l").queue(two, "first").assigned("l", two, "second"),
			"first on a, second awaits new 0, create small"},
		{"higher priority goes first",
			fleet().up("small", "a").queue(two, "low").urgent(1, two, "high"),
			"high on a, low awaits new 0, create small"},
		{"equal priority goes by order of submission",
			fleet().up("small", "a").contain(Container{Shape: two}, "x y").queue(two, "z"),
			"x on a, y awaits new 0, z awaits new 1, create small, create small"},
		{"a container on hold is not scheduled",
			fleet().up("small", "a").urgent(-1, one, "held"),
			""},
		{"a container on hold loses the booting instance that it was assigned to",
			fleet().add(Booting, "small", "b").queue(two, "q").
				contain(Container{Shape: two, Priority: -1, Instance: "b", Binding: Assigned}, "held"),
			"q awaits b"},
		{"a container that runs goes on though its priority has become negative",
			fleet().up("small", "a").queue(two, "q").
				contain(Container{Shape: one, Priority: -1, Instance: "a", Binding: Running}, "r"),
			"q awaits new 0, create small"},
	})
}

func TestWhere(t *testing.T) {
	wide := func(l *Limits) { l.MaxPriceFactor = 0 }
	runPlans(t, []planCase{
		{"an instance that is up comes before one that boots, though more waits for that",
			fleet().add(Booting, "small", "b").up("small", "c").assigned("b", one, "x").queue(one, "q"),
			"x on c, q on c"},
		{"the one that runs most comes first, so that others can empty",
			fleet().limits(wide).up("small", "a", "b").up("large", "c").
				runs("a", one, "r1").runs("c", one, "r2 r3").queue(one, "q1 q2"),
			"q1 on c, q2 on c"},
		{"then the cheaper",
			fleet().limits(wide).up("large", "a").up("small", "b").queue(one, "q"),
			"q on b"},
		{"the cheaper also where it comes later by name",
			fleet().up("small", "a").up("spot", "b").queue(spot, "s"),
			"s on b"},
		{"then the one of which less is left",
			fleet().up("small", "a", "b").runs("a", spot, "r1").
				runs("b", fat, "r2").queue(one, "q"),
			"q on b"},
		{"then by name",
			fleet().up("small", "b", "a").queue(one, "q"),
			"q on a"},
		{"what is placed is subtracted at once",
			fleet().up("small", "a", "b").queue(one, "q1 q2 q3"),
			"q1 on a, q2 on a, q3 on b"},
		{"max_containers_per_instance bounds what is placed",
			fleet().limits(func(l *Limits) { l.MaxContainersPerInstance = 1 }).up("small", "a", "b").
				runs("a", one, "r").queue(one, "q1 q2"),
			"q1 on b, q2 awaits new 0, create small"},
		{"an instance that leaves or is parked takes nothing",
			fleet().add(Leaving, "small", "a").add(Parked, "small", "b").queue(one, "q"),
			"q awaits new 0, create small"},
		{"an instance of a type that the spec no longer has takes nothing",
			fleet().up("retired", "a").queue(one, "q"),
			"q awaits new 0, create small"},
		{"an instance over max_price_factor takes nothing, idle as it may be",
			fleet().up("large", "a").queue(one, "q"),
			"q awaits new 0, create small"},
		{"an instance just within max_price_factor does",
			fleet().limits(func(l *Limits) { l.MaxPriceFactor = 4 }).up("large", "a").queue(one, "q"),
			"q on a"},
		{"a max_price_factor below one still allows the cheapest",
			fleet().limits(func(l *Limits) { l.MaxPriceFactor = 0.1 }).queue(one, "q"),
			"q awaits new 0, create small"},
		{"only a container that allows it goes to a preemptible instance",
			fleet().up("spot", "a").queue(one, "q").queue(spot, "s"),
			"s on a, q awaits new 0, create small"},
		{"one that allows it also goes to an instance that is not",
			fleet().up("small", "a").queue(spot, "s"),
			"s on a"},
		{"the architecture decides",
			fleet().up("small", "a").queue(arm, "q"),
			"q awaits new 0, create arm"},
		{"GPUs decide",
			fleet().up("large", "a").queue(gpu, "q"),
			"q awaits new 0, create gpu"},
		{"a container waiting for a booting instance goes elsewhere when room appears there",
			fleet().add(Booting, "small", "b").up("small", "a").assigned("b", two, "x"),
			"x on a"},
		{"and stays with its booting instance while there is none",
			fleet().add(Booting, "small", "a", "b").up("small", "c").runs("c", two, "r").assigned("b", two, "x"),
			"x awaits b"},
		{"an overcommitted instance takes nothing, not even what needs nothing",
			fleet().up("small", "a").runs("a", four, "r").queue(none, "q"),
			"q awaits new 0, create small"},
		{"a later container fills a gap that an earlier one does not fit into",
			fleet().up("small", "a").runs("a", one, "r").queue(two, "big").queue(one, "little"),
			"little on a, big awaits new 0, create small"},
	})
}
