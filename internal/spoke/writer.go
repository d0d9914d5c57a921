package spoke

import (
	"context"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

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
	holding atomic.Bool
	changed chan struct{}
}

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

func (w *writer) holds() bool { return w.holding.Load() }

func (w *writer) set(holding bool) {
	w.holding.Store(holding)
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
				OnStartedLeading: func(context.Context) { w.set(true) },
				OnStoppedLeading: func() { w.set(false) },
			},
		})
		if err != nil {
			panic(err) // constant configuration
		}
		elector.Run(ctx)
	}
}
