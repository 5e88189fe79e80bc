package fleetspec

// The engines that run a container that has an image.
const (
	EngineProcess = "process"
	EngineDocker  = "docker"
	EnginePodman  = "podman"
)

// The CPU architectures of instance types.
const (
	ArchitectureAMD64 = "amd64"
	ArchitectureARM64 = "arm64"
)

// RunnerEmbedded is the runner source that stands for the runner built into the
// worker.
const RunnerEmbedded = "embedded"
