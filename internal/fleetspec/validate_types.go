package fleetspec

import "fmt"

// Bounds of an instance type: far beyond any machine, and far from overflow. Below
// minVCPUs a type would round to nothing.
const (
	minVCPUs = 0.001
	maxCount = 1_000_000
	maxSize  = Size(1 << 60)
)

func checkInstanceTypes(s Spec) *problem {
	if len(s.InstanceTypes) == 0 {
		return problemf("instance_types", "is empty; allowed: a list of one type or more, such as [{name: small, vcpus: 2, memory: 4GiB}]")
	}
	seen := make(map[string]int, len(s.InstanceTypes))
	for i, t := range s.InstanceTypes {
		path := fmt.Sprintf("instance_types[%d]", i)
		if p := checkInstanceType(path, t); p != nil {
			return p
		}
		if first, twice := seen[t.Name]; twice {
			return problemf(path+".name", "%s is the name of instance_types[%d], too; allowed: a name of its own", quote(t.Name), first)
		}
		seen[t.Name] = i
	}
	return nil
}

func checkInstanceType(path string, t InstanceType) *problem {
	switch {
	case t.Name == "":
		return problemf(path+".name", "is missing; allowed: a name such as small or m7i.large")
	case !typeName.MatchString(t.Name):
		return problemf(path+".name", "%s is not a type's name; allowed: 1 to 63 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or digit", quote(t.Name))
	case !typeName.MatchString(t.ProviderType):
		return problemf(path+".provider_type", "%s is not a provider's type; allowed: 1 to 63 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or digit", quote(t.ProviderType))
	case !(t.VCPUs >= minVCPUs && t.VCPUs <= maxCount):
		return problemf(path+".vcpus", "%v is not a number of vCPUs; allowed: %v to %d", t.VCPUs, minVCPUs, maxCount)
	case t.Memory <= 0 || t.Memory > maxSize:
		return problemf(path+".memory", "%v is out of range; allowed: a size above 0, such as 4GiB, at most %v", t.Memory, maxSize)
	case t.Scratch < 0 || t.Scratch > maxSize:
		return problemf(path+".scratch", "%v is out of range; allowed: a size such as 20GiB, at most %v, or 0", t.Scratch, maxSize)
	case t.GPUs < 0 || t.GPUs > maxCount:
		return problemf(path+".gpus", "%d is out of range; allowed: 0 to %d", t.GPUs, maxCount)
	case !(t.Price >= 0 && t.Price <= maxCount):
		return problemf(path+".price", "%v is not a price per hour; allowed: 0 to %d", t.Price, maxCount)
	case t.QuotaGroup != "" && !typeName.MatchString(t.QuotaGroup):
		return problemf(path+".quota_group", "%s is not a group's name; allowed: 1 to 63 of A-Z, a-z, 0-9, '.', _ and -, beginning with a letter or digit, or \"\" for none", quote(t.QuotaGroup))
	}
	return oneOf(path+".architecture", t.Architecture, architectures)
}
