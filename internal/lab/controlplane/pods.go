package controlplane

import (
	"bytes"
	_ "embed"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotations of a pod, or of a pod template, by which its fate is staged.
const (
	// FailAnnotation makes a pod fail: image-pull (never starts), never-ready
	// (runs, is never ready), crash-loop (restarts ten times and stays in
	// back-off) or exit (phase Failed, as a Job's pod with a non-zero exit code).
	FailAnnotation = "lab.nave.dev/fail"
	// StartAnnotation is the time from being scheduled to ready, such as "30s".
	StartAnnotation = "lab.nave.dev/start-delay"
	// RunAnnotation is how long a Job's pod runs before it completes.
	RunAnnotation = "lab.nave.dev/run-for"
)

// PodTiming says how long pods take. The zero value means the defaults.
type PodTiming struct {
	// StartDelay is the shortest time from being scheduled to ready; 1 s unless set.
	StartDelay metav1.Duration `json:"startDelay,omitempty"`
	// StartJitter is added to it at random, evenly; 2 s unless set.
	StartJitter metav1.Duration `json:"startJitter,omitempty"`
	// RunFor is how long a Job's pod runs; 2 s unless set.
	RunFor metav1.Duration `json:"runFor,omitempty"`
}

//go:embed stages.yaml
var stagesYAML []byte

// stages returns kwok's configuration: how nodes, pods and volumes change by
// themselves.
func (t PodTiming) stages() []byte {
	milliseconds := func(d metav1.Duration, otherwise time.Duration) []byte {
		if d.Duration == 0 {
			d.Duration = otherwise
		}
		return []byte(strconv.FormatInt(d.Milliseconds(), 10))
	}
	start := t.StartDelay
	if start.Duration == 0 {
		start.Duration = time.Second
	}
	jitter := t.StartJitter
	if jitter.Duration == 0 {
		jitter.Duration = 2 * time.Second
	}
	latest := metav1.Duration{Duration: start.Duration + jitter.Duration}
	out := stagesYAML
	for name, value := range map[string][]byte{
		"START_MIN": milliseconds(start, 0),
		"START_MAX": milliseconds(latest, 0),
		"RUN_FOR":   milliseconds(t.RunFor, 2*time.Second),
	} {
		out = bytes.ReplaceAll(out, []byte(name), value)
	}
	return out
}
