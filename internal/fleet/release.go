package fleet

import (
	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
)

// release says how the release of a Delivery's chart is kept. Drift is treated as in the app's options.
func release(said v1alpha1.HelmRelease, options app.Options) *app.Release {
	r := &app.Release{History: said.History, Drift: app.DriftReported}
	if options.CorrectDrift {
		r.Drift = app.DriftCorrected
	}
	if said.Timeout != nil {
		r.Timeout = said.Timeout.Duration
	}
	r.Tests.Run = said.Test
	action := app.ReleaseAction{Adopt: said.Adopt, NoWait: said.Wait != nil && !*said.Wait}
	action.NoJobs = action.NoWait
	action.Remediation.Retries = said.Retries
	switch said.CRDs {
	case v1alpha1.CRDsReplace:
		action.CRDs = app.CRDsReplace
	case v1alpha1.CRDsSkip:
		action.CRDs = app.CRDsSkip
	default:
		action.CRDs = app.CRDsCreate
	}
	r.Install, r.Upgrade, r.Rollback = action, action, action
	r.Install.CreateNamespace = options.CreateNamespace
	r.Upgrade.Remediation.Last = said.Rollback == nil || *said.Rollback
	return r
}
