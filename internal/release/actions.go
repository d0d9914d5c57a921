package release

import (
	"fmt"
	"strconv"

	"helm.sh/helm/v4/pkg/action"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	helm "helm.sh/helm/v4/pkg/release/v1"

	"nave.dev/internal/app"
)

// install installs the release.
func (h *driven) install() error {
	rules := h.target.Release.Install
	if err := h.prepare(rules, app.CRDsCreate); err != nil {
		return err
	}
	install := action.NewInstall(h.config)
	install.ReleaseName, install.Namespace = h.target.Release.Name, h.target.Release.Namespace
	install.ServerSideApply = rules.Apply != app.ApplyClient
	install.ForceConflicts = install.ServerSideApply
	install.TakeOwnership, install.Replace = rules.Adopt, true // of an uninstalled release of the name alone
	install.CreateNamespace = rules.CreateNamespace
	install.DisableHooks, install.DisableOpenAPIValidation, install.SkipSchemaValidation = rules.NoHooks, rules.NoOpenAPI, rules.NoSchema
	install.Timeout, install.WaitForJobs = h.timeout(rules), !rules.NoJobs
	install.WaitStrategy, install.WaitOptions = h.waiting(rules)
	install.SkipCRDs, install.PostRenderer = true, h.guard
	install.Labels = h.labels(h.result.Revision + 1)
	delete(install.Labels, testsLabel)
	shown, err := h.render(app.Templates{Namespace: install.Namespace, Revision: 1, NoSchema: rules.NoSchema})
	if err != nil {
		return err
	}
	_, err = install.Run(shown, h.values)
	return err
}

// upgrade upgrades the release.
func (h *driven) upgrade() error {
	rules := h.target.Release.Upgrade
	if err := h.prepare(rules, app.CRDsSkip); err != nil {
		return err
	}
	last, err := h.last()
	if err != nil {
		return err
	}
	if h.guard.present, err = h.deployed(last); err != nil {
		return err
	}
	if h.target.Release.Reinstall && last.Chart != nil && last.Chart.Name() != h.chart.Name() {
		if h.dry {
			return errReinstall
		}
		h.guard.next = decision{step: Uninstall, reviewed: true}
		return h.uninstall() // and what follows is an installation
	}
	server := last.ApplyMethod == string(helm.ApplyMethodServerSideApply)
	if rules.Apply != "" {
		server = rules.Apply == app.ApplyServer
	}
	upgrade := action.NewUpgrade(h.config)
	upgrade.Namespace = h.target.Release.Namespace
	upgrade.ServerSideApply, upgrade.ForceConflicts = strconv.FormatBool(server), server
	upgrade.ForceReplace = rules.Replace && !server
	upgrade.TakeOwnership, upgrade.CleanupOnFail = rules.Adopt, rules.CleanUp
	upgrade.DisableHooks, upgrade.DisableOpenAPIValidation, upgrade.SkipSchemaValidation = rules.NoHooks, rules.NoOpenAPI, rules.NoSchema
	upgrade.Timeout, upgrade.WaitForJobs = h.timeout(rules), !rules.NoJobs
	upgrade.WaitStrategy, upgrade.WaitOptions = h.waiting(rules)
	upgrade.ResetValues = true // those that are reused are in what is given
	upgrade.SkipCRDs, upgrade.PostRenderer = true, h.guard
	upgrade.MaxHistory = h.history()
	upgrade.Labels = h.labels(last.Version + 1)
	templates := app.Templates{Namespace: h.guard.present.Namespace, Revision: last.Version + 1, Upgrade: true, NoSchema: rules.NoSchema}
	if rules.ReuseValues {
		if templates.Reused, err = h.reuse(h.guard.present); err != nil {
			return err
		}
	}
	shown, err := h.render(templates)
	if err != nil {
		return err
	}
	if h.dry {
		upgrade.DryRunStrategy = action.DryRunServer
	}
	made, err := upgrade.Run(h.target.Release.Name, shown, h.values)
	if err != nil {
		return err
	}
	h.made, err = asRelease(made)
	return err
}

// deployed is the revision that an upgrade starts from, as Helm chooses it.
func (h *driven) deployed(last *helm.Release) (*helm.Release, error) {
	if last.Info.Status == rcommon.StatusDeployed {
		return last, nil
	}
	found, err := h.config.Releases.Deployed(h.target.Release.Name)
	if err != nil {
		return last, nil // there is none: then it is the last one
	}
	return asRelease(found)
}

// test runs the chart's tests, and records what they came to.
func (h *driven) test() error {
	tests := h.target.Release.Tests
	testing := action.NewReleaseTesting(h.config)
	testing.Namespace = h.target.Release.Namespace
	testing.Timeout = h.timeout(app.ReleaseAction{Timeout: tests.Timeout})
	_, testing.WaitOptions = h.waiting(app.ReleaseAction{})
	testing.Filters = map[string][]string{action.IncludeNameFilter: tests.Only, action.ExcludeNameFilter: tests.Except}
	found, shutdown, failure := testing.Run(h.target.Release.Name)
	if shutdown != nil {
		if err := shutdown(); failure == nil {
			failure = err
		}
	}
	if h.ctx.Err() != nil {
		return failure // it was broken off, which says nothing
	}
	release, err := asRelease(found)
	if err != nil {
		return err
	}
	release.Labels[testsLabel] = testsPassed
	if failure != nil {
		release.Labels[testsLabel] = testsFailed
	}
	if err := h.config.Releases.Update(release); err != nil {
		return fmt.Errorf("recording what the tests came to: %w", err)
	}
	h.records.recorded = true
	return failure
}

// rollback goes back to a revision. What it deletes is what the failed one created.
func (h *driven) rollback(to int) error {
	rules := h.target.Release.Rollback
	rollback := action.NewRollback(h.config)
	found, err := h.config.Releases.Get(h.target.Release.Name, to)
	if err != nil {
		return fmt.Errorf("reading revision %d: %w", to, err)
	}
	before, err := asRelease(found)
	if err != nil {
		return err
	}
	server := before.ApplyMethod == string(helm.ApplyMethodServerSideApply)
	if rules.Apply != "" {
		server = rules.Apply == app.ApplyServer
	}
	rollback.Version, rollback.MaxHistory = to, h.history()
	rollback.ServerSideApply, rollback.ForceConflicts = strconv.FormatBool(server), server
	rollback.ForceReplace = rules.Replace && !server
	rollback.CleanupOnFail, rollback.DisableHooks = rules.CleanUp, rules.NoHooks
	rollback.Timeout, rollback.WaitForJobs = h.timeout(rules), !rules.NoJobs
	rollback.WaitStrategy, rollback.WaitOptions = h.waiting(rules)
	return rollback.Run(h.target.Release.Name)
}

// uninstall deletes the release. Where that is to remedy a failure, what holds data
// or other objects stays.
func (h *driven) uninstall() error {
	rules := h.target.Release.Uninstall
	if err := h.guard.reviewUninstall(h); err != nil || h.guard.held != nil {
		return err
	}
	uninstall := action.NewUninstall(h.config)
	uninstall.DisableHooks, uninstall.KeepHistory = rules.NoHooks, rules.KeepHistory
	uninstall.DeletionPropagation = rules.Propagation
	if uninstall.DeletionPropagation == "" {
		uninstall.DeletionPropagation = "background"
	}
	uninstall.Timeout = h.timeout(rules)
	uninstall.WaitStrategy, uninstall.WaitOptions = h.waiting(rules)
	_, err := uninstall.Run(h.target.Release.Name)
	return err
}

// unlock records that a step was broken off. Its revision counts neither as one that
// worked nor as an attempt that failed.
func (h *driven) unlock() error {
	last, err := h.last()
	if err != nil {
		return err
	}
	if !last.Info.Status.IsPending() {
		return nil // it has come to its end meanwhile
	}
	last.SetStatus(rcommon.StatusFailed, fmt.Sprintf("broken off while it was %s", last.Info.Status))
	if last.Labels == nil {
		last.Labels = map[string]string{}
	}
	last.Labels[runLabel] = brokenOff
	if err := h.config.Releases.Update(last); err != nil {
		return fmt.Errorf("recording that revision %d was broken off: %w", last.Version, err)
	}
	return nil
}
