// Package lease sees to it that one process at a time writes to a cluster: a
// [Writer] holds a lease on it for terms, and says whether one lasts. What is
// written, and by whom it is read, is none of its business.
package lease

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

// Writer sees to it that one process at a time writes to the cluster. Another one
// reads and reports.
type Writer struct {
	lock    *resourcelock.LeaseLock
	term    atomic.Pointer[Term]
	holder  atomic.Pointer[string] // who holds the lease, as last seen
	changed chan struct{}
}

// Term is one time of holding the lease.
type Term struct{ over <-chan struct{} }

// New returns a Writer of an identity that holds nothing until Run. The lease has
// a namespace and a name.
func New(client kubernetes.Interface, namespace, name, identity string) *Writer {
	return &Writer{
		lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		changed: make(chan struct{}, 1),
	}
}

// Current returns the term that lasts, or nil while another process writes. The
// lease tells of a beginning in a goroutine of its own, perhaps after the end, so
// that what counts is whether the term is over.
func (w *Writer) Current() *Term {
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

// HeldBy returns who holds the lease, as far as that is known.
func (w *Writer) HeldBy() string {
	if holder := w.holder.Load(); holder != nil {
		return *holder
	}
	return ""
}

// Changed has something when who holds the lease may be another.
func (w *Writer) Changed() <-chan struct{} { return w.changed }

func (w *Writer) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Run tries to hold the lease until ctx is done, and then gives it back.
func (w *Writer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: w.lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: leaseRetry,
			ReleaseOnCancel: true, Name: w.lock.LeaseMeta.Name,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					w.term.Store(&Term{over: ctx.Done()})
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
