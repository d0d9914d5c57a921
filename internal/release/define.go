package release

import (
	"bytes"
	"fmt"
	"time"

	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/kube"

	"nave.dev/internal/app"
)

// definitionTimeout is how long definitions may take until the cluster serves them.
const definitionTimeout = time.Minute

// define applies the definitions in the chart's crds directories, as a policy says.
// Those of dependencies that the values turn off do not count. None is ever deleted.
func (h *driven) define(rules app.ReleaseAction, usual app.CRDPolicy) error {
	policy := rules.CRDs
	if policy == "" {
		policy = usual
	}
	if len(h.chart.CRDObjects()) == 0 || policy == app.CRDsSkip {
		return nil
	}
	values, err := plain(h.values) // Helm writes into what it is given
	if err != nil {
		return err
	}
	resolved, err := readChart(h.target.Release.Chart) // to resolve it twice would lose what it imports
	if err != nil {
		return err
	}
	if err := chartutil.ProcessDependencies(resolved, values); err != nil {
		return fmt.Errorf("reading the chart's dependencies: %w", err)
	}
	var applied kube.ResourceList
	for _, file := range resolved.CRDObjects() {
		found, err := h.guard.Build(bytes.NewReader(file.File.Data), false)
		if err != nil {
			return fmt.Errorf("reading definitions in %s: %w", file.Filename, err)
		}
		for _, info := range found {
			if idOf(info).GroupKind().String() != "CustomResourceDefinition.apiextensions.k8s.io" {
				return fmt.Errorf("%s in %s is no definition\nhint: move it to the chart's templates", idOf(info), file.Filename)
			}
			live, err := h.guard.live(info)
			if err != nil {
				return err
			}
			if live == nil || policy == app.CRDsReplace {
				applied = append(applied, info)
			}
		}
	}
	if len(applied) == 0 {
		return nil
	}
	if err := h.guard.entitled(applied); err != nil {
		return err
	}
	if _, err := h.guard.Create(applied, kube.ClientCreateOptionServerSideApply(true, true)); err != nil {
		return fmt.Errorf("applying definitions: %w", err)
	}
	waiter, err := h.guard.GetWaiterWithOptions(kube.StatusWatcherStrategy, kube.WithWaitContext(h.ctx))
	if err != nil {
		return err
	}
	if err := waiter.Wait(applied, definitionTimeout); err != nil {
		return fmt.Errorf("waiting until the cluster serves the chart's definitions: %w", err)
	}
	h.own.forget()
	return nil
}
