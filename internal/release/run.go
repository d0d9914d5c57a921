package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	helm "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/app"
	"nave.dev/internal/app/healthcheck"
)

// fieldManager is that of helm on the command line, so that its rollbacks and upgrades
// of the same release are in no conflict with what is done here.
const fieldManager = "helm"

func init() { kube.ManagedFieldsManager = fieldManager } // Helm has it for the whole process

// run is one call about one release.
type run struct {
	client *Client
	ctx    context.Context // ends with the call, and all its requests with it
	end    context.CancelFunc
	target Target
	// own is the way to the cluster with the rights of the release, and records that to
	// Helm's records.
	own, records *bound

	checks    *healthcheck.Checks // of the app, for what an action waits for
	values    map[string]any      // nil until they are read
	concealed []string            // what Secrets have of values
	wanted    string
	chart     *chart.Chart
	result    Result
}

// begin makes a call ready.
func (c *Client) begin(ctx context.Context, t Target) (*run, error) {
	checks, err := healthcheck.Read(t.Options.HealthChecks)
	if err != nil {
		return nil, fmt.Errorf("reading the health checks of %s: %w", t.App, err)
	}
	r := &run{client: c, target: t, checks: checks}
	r.ctx, r.end = context.WithCancel(ctx)
	r.own = c.reach.bind(r.ctx, t.Options.ServiceAccount, t.Release.Namespace)
	r.records = r.secrets(r.storage())
	r.result.Lost = t.Lost
	for _, namespace := range []string{t.Release.Namespace, r.storage()} {
		if reason, ok := permitsNamespace(t.Options, namespace); !ok {
			r.end()
			return nil, errors.New(reason)
		}
	}
	return r, nil
}

// secrets returns the way to records, and to values, in a namespace. In that of its
// service account a release has them though the account may read no Secrets; elsewhere
// the account's rights count, or a release could take over the records, and with them
// the values, of another one.
func (r *run) secrets(namespace string) *bound {
	account := r.target.Options.ServiceAccount
	if strings.HasPrefix(account, namespace+"/") {
		account = ""
	}
	return r.client.reach.bind(r.ctx, account, namespace)
}

// storage is the namespace of Helm's records.
func (r *run) storage() string {
	return cmp.Or(r.target.Release.Storage, r.target.Release.Namespace)
}

// intent is what is wanted, for a decision.
func (r *run) intent() intent {
	return intent{
		release: r.target.Release, wanted: r.wanted, owner: r.owner(), lost: r.result.Lost,
		now: r.client.options.Now(), rerun: r.target.Rerun,
	}
}

// note takes what was decided into the result.
func (r *run) note(seen history, d decision) {
	r.result.Present, r.result.Revision = seen.present(), 0
	if len(seen) > 0 {
		r.result.Revision = seen[0].number
	}
	r.result.Current, r.result.Exhausted = d.current, d.exhausted
	if r.result.Failures = d.failures; d.current {
		r.result.Failures, r.result.Lost, r.result.Failed = 0, 0, ""
	}
	if d.why != "" {
		r.result.Failed = d.why
	}
}

// take does a step. Only what is no outcome of the step itself is an error.
func (r *run) take(d decision) error {
	if r.client.options.Stepping != nil {
		r.client.options.Stepping(r.target.App, d.step)
	}
	if err := r.ctx.Err(); err != nil {
		return context.Cause(r.ctx)
	}
	h, err := r.helm(d)
	if err != nil {
		return err
	}
	switch d.step {
	case Install:
		err = h.install()
	case Upgrade:
		err = h.upgrade()
		r.target.Rerun = false
	case Test:
		err = h.test()
	case Rollback:
		err = h.rollback(d.to)
	case Uninstall:
		err = h.uninstall()
	case Unlock:
		err = h.unlock()
	}
	if ended := r.ctx.Err(); ended != nil {
		return context.Cause(r.ctx)
	}
	r.result.Changes = append(r.result.Changes, h.guard.changes...)
	if r.result.Objects = h.guard.written; err != nil || d.step == Uninstall {
		r.result.Objects = nil
	}
	if h.guard.held != nil {
		r.result.Held = h.guard.held
		return nil
	}
	if h.guard.lacks != nil {
		return h.guard.lacks
	}
	r.result.Steps = append(r.result.Steps, d.step)
	if d.step == Uninstall && err == nil {
		r.result.Lost = d.failures // as the records are gone
	}
	if err == nil {
		return nil
	}
	r.result.Failed = fmt.Sprintf("%s: %v", d.step, r.veil(err))
	if h.records.recorded {
		return nil // the records tell, and what follows is decided by them
	}
	return errors.New(r.result.Failed)
}

// driven is Helm's library, made ready for one step.
type driven struct {
	*run
	config  *action.Configuration
	guard   *guard
	records *marked
	// dry has an upgrade write nothing; made is the revision that came of it.
	dry  bool
	made *helm.Release
}

// helm makes Helm's library ready.
func (r *run) helm(d decision) (*driven, error) {
	secretClient, err := kubernetes.NewForConfig(r.records.config)
	if err != nil {
		return nil, err
	}
	records := driver.NewSecrets(secretClient.CoreV1().Secrets(r.storage()))
	records.SetLogger(slog.DiscardHandler)
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	config.RESTClientGetter = r.own
	h := &driven{run: r, config: config, records: &marked{Secrets: records, owner: r.owner()}}
	config.Releases = storage.Init(h.records)
	config.Releases.SetLogger(slog.DiscardHandler)
	h.guard = newGuard(r, d)
	config.KubeClient = h.guard
	return h, nil
}

// capabilities are what templates see of the cluster, which is asked once for all
// releases until definitions change.
func (h *driven) capabilities() (*common.Capabilities, error) {
	version, err := h.own.discovery.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("asking for the cluster's version: %w", err)
	}
	parsed, err := common.ParseKubeVersion(version.GitVersion)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's version %q: %w", version.GitVersion, err)
	}
	versions, err := action.GetVersionSet(h.own.discovery)
	if err != nil {
		return nil, fmt.Errorf("asking what the cluster serves: %w", err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion, capabilities.APIVersions = *parsed, versions
	return capabilities, nil
}

// timeout of each thing that an action waits for.
func (r *run) timeout(a app.ReleaseAction) time.Duration {
	const usual = 5 * time.Minute
	return cmp.Or(a.Timeout, r.target.Release.Timeout, usual)
}

// history is how many revisions Helm keeps, in its own terms.
func (r *run) history() int {
	const usual = 5
	return max(0, cmp.Or(r.target.Release.History, usual))
}

// waiting is how an action waits, and for what beside it waits itself.
func (r *run) waiting(a app.ReleaseAction) (kube.WaitStrategy, []kube.WaitOption) {
	options := []kube.WaitOption{kube.WithWaitContext(r.ctx)}
	switch {
	case a.NoWait:
		return kube.HookOnlyStrategy, options
	case a.LegacyWait:
		return kube.LegacyStrategy, options
	}
	if r.checks != nil {
		options = append(options, kube.WithKStatusReaders(newReader(r.own.mapper, r.checks)))
	}
	return kube.StatusWatcherStrategy, options
}

// last returns the record of the last revision.
func (h *driven) last() (*helm.Release, error) {
	found, err := h.config.Releases.Last(h.target.Release.Name)
	if err != nil {
		return nil, fmt.Errorf("reading the last revision: %w", err)
	}
	return asRelease(found)
}

// asRelease returns what Helm hands out as it is recorded.
func asRelease(found any) (*helm.Release, error) {
	release, ok := found.(*helm.Release)
	if !ok || release == nil || release.Info == nil {
		return nil, fmt.Errorf("the record is a %T, which is not known here", found)
	}
	return release, nil
}
