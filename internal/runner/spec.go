package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// The engines that run a container.
const (
	EngineProcess = "process" // a plain process of the instance
	EngineDocker  = "docker"  // through the docker command
	EnginePodman  = "podman"  // through the podman command
)

// DefaultOutputLimit bounds the output that is kept of one container whose spec
// gives no limit, in bytes.
const DefaultOutputLimit = 1 << 30

// Spec says what a container runs. It is what `start` reads on its standard input;
// keys that it does not know are ignored.
type Spec struct {
	// Command is the program and its arguments; a program without a slash is looked
	// up in the PATH of the container. At least the program is required.
	Command []string `json:"command"`
	// Env is the container's environment, over a small base: PATH, HOME,
	// DROVER_CONTAINER_ID, DROVER_FLEET and, for a plain process,
	// DROVER_CONTAINER_DIRECTORY, its working directory.
	Env map[string]string `json:"env,omitempty"`
	// Image is what Engine runs the command in. Empty: a plain process.
	Image string `json:"image,omitempty"`
	// Engine is one of the Engine constants; empty is EngineProcess. Without an
	// Image it is always EngineProcess.
	Engine string `json:"engine,omitempty"`
	// Memory in bytes and VCPUs are limits under docker and podman; 0: none. A plain
	// process has no limits.
	Memory int64   `json:"memory,omitempty"`
	VCPUs  float64 `json:"vcpus,omitempty"`
	// GPUs is how many of them docker or podman hands to the container.
	GPUs int `json:"gpus,omitempty"`
	// Fleet is the container's fleet, for its environment.
	Fleet string `json:"fleet,omitempty"`
	// OutputLimit bounds the output that is kept, in bytes; 0: DefaultOutputLimit.
	OutputLimit int64 `json:"output_limit,omitempty"`
	// Timeout is a Go duration after which the container gets SIGTERM and, 10 s
	// later, SIGKILL; its result then says that it timed out. Empty or 0: none.
	Timeout string `json:"timeout,omitempty"`
}

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$`)

// ParseSpec reads and checks a spec. Its errors are one line.
func ParseSpec(data []byte) (Spec, error) {
	var spec Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return Spec{}, fmt.Errorf("spec is not valid JSON: %w", err)
	}
	if spec.Image == "" || spec.Engine == "" {
		if spec.Image != "" {
			return Spec{}, fmt.Errorf("spec: image %q needs engine docker or podman", spec.Image)
		}
		spec.Engine = EngineProcess
	}
	if spec.OutputLimit == 0 {
		spec.OutputLimit = DefaultOutputLimit
	}
	return spec, spec.check()
}

// check returns what is wrong with a spec whose defaults are filled in.
func (s Spec) check() error {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return errors.New("spec: command is empty")
	}
	for _, arg := range s.Command {
		if strings.ContainsRune(arg, 0) {
			return errors.New("spec: command has a zero byte in it")
		}
	}
	for key, value := range s.Env {
		if key == "" || strings.ContainsAny(key, "=\x00") {
			return fmt.Errorf("spec: %q cannot be the name of an environment variable", key)
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("spec: env %s has a zero byte in it", key)
		}
	}
	switch s.Engine {
	case EngineProcess:
		if s.Image != "" {
			return fmt.Errorf("spec: image %q needs engine docker or podman", s.Image)
		}
	case EngineDocker, EnginePodman:
		if strings.HasPrefix(s.Image, "-") || strings.ContainsRune(s.Image, 0) {
			return fmt.Errorf("spec: %q cannot be an image", s.Image)
		}
	default:
		return fmt.Errorf("spec: engine %q is none of process, docker, podman", s.Engine)
	}
	if s.Memory < 0 || s.VCPUs < 0 || s.GPUs < 0 || s.OutputLimit < 0 {
		return errors.New("spec: memory, vcpus, gpus and output_limit cannot be negative")
	}
	_, err := s.timeout()
	return err
}

// timeout returns how long the container may run; 0: as long as it likes.
func (s Spec) timeout() (time.Duration, error) {
	if s.Timeout == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s.Timeout)
	if err != nil {
		return 0, fmt.Errorf("spec: timeout %q is not a duration such as 90s or 1h", s.Timeout)
	}
	if d < 0 {
		return 0, fmt.Errorf("spec: timeout %q is negative", s.Timeout)
	}
	return d, nil
}
