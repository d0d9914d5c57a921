package spoke

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

// What client-go logs by itself goes to standard error, past the process's own
// log. All of it that matters comes back as errors as well.
func init() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) }

// Times of the writer's lease: a writer that is gone is replaced after
// leaseDuration; one that cannot renew stops before that.
const (
	leaseDuration = 30 * time.Second
	renewDeadline = 20 * time.Second
	leaseRetry    = 5 * time.Second
)

// writer sees to it that one process at a time writes to the cluster. Another one
// reads and reports.
type writer struct {
	lock    *resourcelock.LeaseLock
	term    atomic.Pointer[term]
	holder  atomic.Pointer[string] // who holds the lease, as last seen
	changed chan struct{}
}

// term is one time of holding the lease.
type term struct{ over <-chan struct{} }

func newWriter(client kubernetes.Interface, identity string) *writer {
	return &writer{
		lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: Namespace, Name: writerName},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		changed: make(chan struct{}, 1),
	}
}

// current returns the term that lasts, or nil while another process writes. The
// lease tells of a beginning in a goroutine of its own, perhaps after the end, so
// that what counts is whether the term is over.
func (w *writer) current() *term {
	t := w.term.Load()
	if t == nil {
		return nil
	}
	select {
	case <-t.over:
		return nil
	default:
		return t
	}
}

// heldBy returns who holds the lease, as far as that is known.
func (w *writer) heldBy() string {
	if holder := w.holder.Load(); holder != nil {
		return *holder
	}
	return ""
}

func (w *writer) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// run tries to hold the lease until ctx is done, and then gives it back.
func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: w.lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: leaseRetry,
			ReleaseOnCancel: true, Name: writerName,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					w.term.Store(&term{over: ctx.Done()})
					w.signal()
				},
				OnStoppedLeading: w.signal,
				OnNewLeader: func(identity string) {
					w.holder.Store(&identity)
					w.signal()
				},
			},
		})
		if err != nil {
			panic(err) // constant configuration
		}
		elector.Run(ctx)
	}
}
