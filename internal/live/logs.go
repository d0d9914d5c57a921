package live

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// Limits of an answer with logs. Who follows asks again where one ends.
const (
	// MaxLine is how many bytes of a line are shown.
	MaxLine = 64 << 10
	// MaxLogs is how many bytes an answer may have, as it is sent.
	MaxLogs = 10 << 20
	// MaxFollow is how long an answer to who follows goes on, whether or not there is
	// anything to say.
	MaxFollow = 4 * time.Minute
	// MaxStreams is of how many containers an answer has logs.
	MaxStreams = 20

	lookForPods = 5 * time.Second // between two looks for new pods of a workload
	// skew is how far the clock of a node may be behind.
	skew = 10 * time.Second
)

// LogRequest says which logs are asked for.
type LogRequest struct {
	Ref           Ref           // a pod, or what selects pods
	Container     string        // empty is the pod's default one
	AllContainers bool          // of each pod, those that initialize it as well
	Previous      bool          // of the instance before
	Since         time.Duration // how far back; 0 is from the beginning
	Tail          int64         // lines of each container at most; negative: all
	Follow        bool          // go on as lines come
	// After says of containers, as POD/CONTAINER, up to when their lines are known.
	After map[string]time.Time
}

// Entry is a part of an answer with logs: a line, a note, or the end.
type Entry struct {
	Pod       string    `json:"pod,omitempty"`
	Container string    `json:"container,omitempty"`
	Time      time.Time `json:"time,omitzero"`
	Text      string    `json:"text"`
	// Cut says that the line is longer.
	Cut bool `json:"cut,omitempty"`
	// Note is what is to be said beside the logs, such as that a pod has none yet.
	Note string `json:"note,omitempty"`
	// End is the last entry; an answer without one was broken off.
	End *End `json:"end,omitempty"`
}

// End says why logs end.
type End struct {
	// Reason is one of Complete, AtLimit and AtTime.
	Reason string `json:"reason"`
	// After is how far each container was shown, for a request that goes on from here.
	After map[string]time.Time `json:"after,omitempty"`
}

// Why logs end.
const (
	Complete = "complete" // there is no more
	AtLimit  = "limit"    // the answer has as many bytes as one may have
	AtTime   = "time"     // it went on for as long as one may
)

var (
	errAtTime = errors.New("the answer went on for as long as one may")
)

// follower collects the logs of several containers.
type follower struct {
	cluster *Cluster
	request LogRequest
	entries chan Entry
	work    sync.WaitGroup

	mu      sync.Mutex
	started map[string]time.Time // when the log of a container was opened
	after   map[string]time.Time
}

// Sink takes entries. An error, which says that nobody reads any more, ends the logs.
type Sink interface {
	// Put takes an entry, and returns how many bytes it has as it is sent.
	Put(Entry) (int, error)
	// Flush is called when it may be long until the next entry.
	Flush() error
}

// Logs gives the logs of a pod, or of the pods of a workload, to a sink, and returns
// how they ended.
func (c *Cluster) Logs(ctx context.Context, request LogRequest, sink Sink) (End, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if request.Follow {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, MaxFollow, errAtTime)
		defer stop()
	}
	f := &follower{cluster: c, request: request, entries: make(chan Entry), started: map[string]time.Time{}, after: map[string]time.Time{}}
	maps.Copy(f.after, request.After)
	begin, err := f.begin(ctx)
	if err != nil {
		return End{}, err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	running.Go(func() {
		defer close(f.entries)
		begin()
		f.work.Wait()
	})
	sent := 0
	for {
		entry, more, err := f.next(sink)
		if err != nil {
			return End{}, err
		}
		if !more {
			break
		}
		n, err := sink.Put(entry)
		if err != nil {
			return End{}, err
		}
		if entry.Note == "" {
			f.shown(entry)
		}
		if sent += n; sent > MaxLogs {
			return f.end(AtLimit), nil
		}
	}
	switch err := context.Cause(ctx); {
	case errors.Is(err, errAtTime):
		return f.end(AtTime), nil
	case err != nil:
		return End{}, err
	}
	return f.end(Complete), nil
}

// next waits for an entry, and flushes before that if there is none yet.
func (f *follower) next(sink Sink) (entry Entry, more bool, err error) {
	select {
	case entry, more = <-f.entries:
		return entry, more, nil
	default:
	}
	if err := sink.Flush(); err != nil {
		return entry, false, err
	}
	entry, more = <-f.entries
	return entry, more, nil
}

func (f *follower) shown(e Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if key := e.Pod + "/" + e.Container; e.Time.After(f.after[key]) {
		f.after[key] = e.Time
	}
}

func (f *follower) end(reason string) End {
	f.mu.Lock()
	defer f.mu.Unlock()
	after := maps.Clone(f.after)
	for key, at := range f.started {
		if after[key].IsZero() { // nothing was shown of it
			after[key] = at.Add(-skew)
		}
	}
	return End{Reason: reason, After: after}
}

// begin finds the pods and opens the first logs, and returns what reads them.
func (f *follower) begin(ctx context.Context) (func(), error) {
	pods, workload, err := f.cluster.pods(ctx, f.request.Ref)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 && !f.request.Follow {
		return nil, refuse("%s has no pods", f.request.Ref)
	}
	streams, problems, err := f.open(ctx, pods)
	if err != nil {
		for _, s := range streams {
			s.read.Close()
		}
		return nil, err
	}
	if len(streams) == 0 && len(problems) > 0 && !(workload && f.request.Follow) {
		return nil, refuse("%s", strings.Join(problems, "\n"))
	}
	return func() {
		f.notes(ctx, problems)
		if !f.request.Follow {
			for _, s := range streams {
				f.copy(ctx, s)
			}
			return
		}
		f.goOn(ctx, streams)
		tick := time.NewTicker(lookForPods)
		defer tick.Stop()
		for workload {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if pods, _, err := f.cluster.pods(ctx, f.request.Ref); err == nil {
				streams, _, _ := f.open(ctx, pods) // what has none yet may have some next time
				f.goOn(ctx, streams)
			}
		}
	}, nil
}

func (f *follower) goOn(ctx context.Context, streams []stream) {
	for _, s := range streams {
		f.work.Go(func() { f.copy(ctx, s) })
	}
}

func (f *follower) notes(ctx context.Context, notes []string) {
	for _, note := range notes {
		select {
		case f.entries <- Entry{Note: note}:
		case <-ctx.Done():
		}
	}
}

// stream is the open log of a container.
type stream struct {
	pod, container string
	read           io.ReadCloser
	after          time.Time
}

// open opens the logs of those containers whose logs are not. What could not be
// opened is told in words.
func (f *follower) open(ctx context.Context, pods []corev1.Pod) (streams []stream, problems []string, err error) {
	for i := range pods {
		names, err := f.containers(&pods[i])
		if err != nil {
			return streams, problems, err
		}
		for _, name := range names {
			key := pods[i].Name + "/" + name
			f.mu.Lock()
			known, full, after := !f.started[key].IsZero(), len(f.started) >= MaxStreams, f.after[key]
			f.mu.Unlock()
			if known {
				continue
			}
			if full {
				return streams, append(problems, fmt.Sprintf("there are more: an answer has the logs of %d containers at most", MaxStreams)), nil
			}
			read, err := f.cluster.core.CoreV1().Pods(pods[i].Namespace).GetLogs(pods[i].Name, f.options(name, after)).Stream(ctx)
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s: %v", key, explain(err)))
				continue
			}
			f.mu.Lock()
			f.started[key] = time.Now()
			f.mu.Unlock()
			streams = append(streams, stream{pods[i].Name, name, read, after})
		}
	}
	return streams, problems, nil
}

func (f *follower) options(container string, after time.Time) *corev1.PodLogOptions {
	options := &corev1.PodLogOptions{Container: container, Previous: f.request.Previous, Follow: f.request.Follow, Timestamps: true}
	switch {
	case !after.IsZero(): // in whole seconds; lines that are known are left out
		since := metav1.NewTime(after)
		options.SinceTime = &since
		return options
	case f.request.Since > 0:
		seconds := max(1, int64(f.request.Since.Seconds()))
		options.SinceSeconds = &seconds
	}
	if f.request.Tail >= 0 {
		options.TailLines = &f.request.Tail
	}
	return options
}

// defaultContainer names the container that is meant where none is named.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// containers are those of a pod that are asked for.
func (f *follower) containers(pod *corev1.Pod) ([]string, error) {
	var all []string
	for _, c := range pod.Spec.InitContainers {
		all = append(all, c.Name)
	}
	first := len(all)
	for _, c := range pod.Spec.Containers {
		all = append(all, c.Name)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		all = append(all, c.Name)
	}
	name := cmp.Or(f.request.Container, pod.Annotations[defaultContainer])
	switch {
	case f.request.AllContainers:
		return all, nil
	case slices.Contains(all, name):
		return []string{name}, nil
	case f.request.Container != "":
		return nil, refuse("the pod %s has no container %q\nhint: it has %s", pod.Name, name, strings.Join(all, ", "))
	case first < len(all):
		return all[first : first+1], nil
	}
	return nil, refuse("the pod %s has no container", pod.Name)
}

// copy passes the lines of a log on, and closes it. It goes no faster than they are
// taken.
func (f *follower) copy(ctx context.Context, s stream) {
	defer s.read.Close()
	in := bufio.NewReaderSize(s.read, MaxLine+64) // a time stands before the line
	for {
		line, cut, err := readLine(in)
		if entry := parseLine(line); err == nil || len(line) > 0 {
			entry.Pod, entry.Container, entry.Cut = s.pod, s.container, entry.Cut || cut
			if !s.after.IsZero() && !entry.Time.IsZero() && !entry.Time.After(s.after) {
				continue
			}
			select {
			case f.entries <- entry:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				f.notes(ctx, []string{fmt.Sprintf("%s/%s: the log broke off: %v", s.pod, s.container, err)})
			}
			return
		}
	}
}

// readLine reads a line without its end. Of one that is longer than the reader's
// buffer it returns the beginning, and passes over the rest.
func readLine(in *bufio.Reader) (line []byte, cut bool, err error) {
	line, err = in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, cut = slices.Clone(line), true
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
	}
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	return line, cut, err
}

// parseLine takes the time off a line, if it begins with one.
func parseLine(line []byte) Entry {
	text := strings.ToValidUTF8(string(line), "\uFFFD")
	entry := Entry{Text: text}
	if stamp, rest, ok := strings.Cut(text, " "); ok || stamp == text {
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			entry.Time, entry.Text = at, rest
		}
	}
	if len(entry.Text) > MaxLine {
		entry.Text, entry.Cut = strings.ToValidUTF8(entry.Text[:MaxLine], ""), true
	}
	return entry
}

// maxPods are looked at of a workload.
const maxPods = 500

// pods returns the pods that are meant, by name, and whether they are those of a
// workload, which may get others.
func (c *Cluster) pods(ctx context.Context, ref Ref) ([]corev1.Pod, bool, error) {
	u, err := c.get(ctx, ref)
	if err != nil {
		return nil, false, err
	}
	if gvk := u.GroupVersionKind(); gvk.Group == "" && gvk.Kind == "Pod" {
		var pod corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod); err != nil {
			return nil, false, fmt.Errorf("reading the pod %s: %w", ref.Name, err)
		}
		return []corev1.Pod{pod}, false, nil
	}
	selector, err := selectorOf(u)
	if err != nil {
		return nil, false, err
	}
	list, err := c.core.CoreV1().Pods(u.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: selector.String(), Limit: maxPods})
	if err != nil {
		return nil, true, explain(err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, u.GetKind() != "Job", nil
}

// selectorOf returns which pods an object selects: by a selector of labels, or by
// plain labels, as a Service does.
func selectorOf(u *unstructured.Unstructured) (labels.Selector, error) {
	content, _, _ := unstructured.NestedMap(u.Object, "spec", "selector")
	if len(content) == 0 || u.GetNamespace() == "" {
		return nil, refuse("%s %s selects no pods\nhint: name a pod, or a workload such as a Deployment or a Job", u.GetKind(), u.GetName())
	}
	if plain, ok, err := unstructured.NestedStringMap(u.Object, "spec", "selector"); ok && err == nil {
		return labels.SelectorFromSet(plain), nil
	}
	var selector metav1.LabelSelector
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &selector)
	if err != nil {
		return nil, refuse("the selector of %s %s: %v", u.GetKind(), u.GetName(), err)
	}
	read, err := metav1.LabelSelectorAsSelector(&selector)
	if err == nil && read.Empty() {
		err = errors.New("it selects everything")
	}
	if err != nil {
		return nil, refuse("the selector of %s %s: %v", u.GetKind(), u.GetName(), err)
	}
	return read, nil
}
