package app

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nave.dev/internal/object"
)

// Release is what a release of Helm should be: installed, upgraded and rolled back
// by Helm's own rules where its cluster is, and recorded where Helm records it. With
// a name, a namespace and a chart, the zero value of the rest waits for what it
// applied, and leaves what failed as it is.
//
// Who asks for one, in Render, leaves Chart, Defaults and Values empty: rendering
// fills them in, from the source, from HelmOptions.ValueFiles and from
// HelmOptions.Values, and makes a Bundle of it that has no objects.
type Release struct {
	Name      string `json:"name"`      // at most 53 characters; as HelmOptions.ReleaseName unless stated
	Namespace string `json:"namespace"` // of the release, and of its objects that state none
	// Storage is the namespace of Helm's records of the release; empty is Namespace.
	Storage string `json:"storage,omitempty"`
	Chart   Chart  `json:"-"`

	// Values win over those of ValuesFrom, these among each other by their order, and
	// all of them over Defaults, which win over those of the chart.
	Values     map[string]any `json:"values,omitempty"`
	ValuesFrom []ValuesFrom   `json:"valuesFrom,omitempty"`
	Defaults   map[string]any `json:"defaults,omitempty"`
	// ReplaceDefaults has HelmOptions.ValueFiles be the chart's own values, in the
	// place of its values.yaml, if there are any.
	ReplaceDefaults bool `json:"replaceDefaults,omitempty"`

	Install   ReleaseAction `json:"install,omitzero"`
	Upgrade   ReleaseAction `json:"upgrade,omitzero"`
	Rollback  ReleaseAction `json:"rollback,omitzero"`
	Uninstall ReleaseAction `json:"uninstall,omitzero"`
	// Reinstall uninstalls the release when its chart has another name, and installs
	// it anew. Otherwise it is upgraded.
	Reinstall bool         `json:"reinstall,omitempty"`
	Tests     ReleaseTests `json:"tests,omitzero"`
	// Timeout of each thing that an action waits for, where the action has none; 0
	// means 5 minutes.
	Timeout time.Duration `json:"timeout,omitempty"`
	// History is how many revisions Helm keeps; 0 means 5, a negative number all.
	History int `json:"history,omitempty"`
	// Drift says what is done about changes by others to the release's objects.
	Drift       ReleaseDrift `json:"drift,omitempty"`
	DriftIgnore []DriftRule  `json:"driftIgnore,omitempty"`
	// PostRenderers change what the chart rendered to, in this order; then CommonMetadata
	// is set on each object.
	PostRenderers  []PostRenderer `json:"postRenderers,omitempty"`
	CommonMetadata Metadata       `json:"commonMetadata,omitzero"`
	// KeepHooks leaves hooks as the chart rendered them.
	KeepHooks bool `json:"keepHooks,omitempty"`
}

// Chart is a chart with all that it depends on, as files of its directory.
type Chart struct {
	Files []ChartFile `json:"files"` // by name, Chart.yaml among them
}

// ChartFile is a file of a chart. Data must not be changed.
type ChartFile struct {
	Name string `json:"name"` // below the chart's directory, slash-separated
	Data []byte `json:"data"`
}

// Digest names the chart by its content.
func (c Chart) Digest() string {
	parts := make([][]byte, 0, 2*len(c.Files))
	for _, file := range c.Files {
		parts = append(parts, []byte(file.Name), file.Data)
	}
	return object.Digest(parts...)
}

// ValuesFrom is an object on the cluster that values are read from, in the
// namespace stated.
type ValuesFrom struct {
	Kind      string `json:"kind"` // ConfigMap or Secret
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       string `json:"key,omitempty"` // in its data; empty is values.yaml
	// Target is the path of the one value that the text is, as helm --set has it.
	// Without it the text is a document of values.
	Target string `json:"target,omitempty"`
	// Literal takes the text of Target for what it is, as helm --set-literal.
	Literal bool `json:"literal,omitempty"`
	// Optional passes over what is not there.
	Optional bool `json:"optional,omitempty"`
}

// ReleaseAction says how a release is installed, upgraded, rolled back or
// uninstalled. What concerns other actions than the one it is for has no effect.
type ReleaseAction struct {
	Timeout time.Duration `json:"timeout,omitempty"` // of each thing waited for; 0 is that of the release
	// NoWait does not wait for objects to be ready, NoJobs not for jobs to end.
	NoWait bool `json:"noWait,omitempty"`
	NoJobs bool `json:"noJobs,omitempty"`
	// LegacyWait waits as Helm 3 did.
	LegacyWait bool `json:"legacyWait,omitempty"`
	NoHooks    bool `json:"noHooks,omitempty"`
	// NoOpenAPI passes over the API server's schemas, NoSchema over the chart's schema
	// of its values.
	NoOpenAPI bool `json:"noOpenAPI,omitempty"`
	NoSchema  bool `json:"noSchema,omitempty"`
	// Apply is how objects are applied; empty is ApplyServer to install, and else as
	// the release was applied before.
	Apply ApplyMethod `json:"apply,omitempty"`
	// Replace replaces objects in place of changing them, where they are not applied
	// by the server. To install, it takes the name of a release that was uninstalled.
	Replace bool `json:"replace,omitempty"`
	// Adopt takes over objects that exist and are no release's. Otherwise they are an
	// error. What another app has is never taken.
	Adopt bool `json:"adopt,omitempty"`
	// CreateNamespace makes the namespace of the release, when it is installed.
	CreateNamespace bool `json:"createNamespace,omitempty"`
	// CRDs says what is done with the chart's crds directory; empty is CRDsCreate to
	// install, and CRDsSkip to upgrade.
	CRDs CRDPolicy `json:"crds,omitempty"`
	// CleanUp deletes what an action created that failed.
	CleanUp bool `json:"cleanUp,omitempty"`
	// ReuseValues merges those of the last revision under the ones stated.
	ReuseValues bool `json:"reuseValues,omitempty"`
	// KeepHistory leaves Helm's records in place, when it is uninstalled.
	KeepHistory bool `json:"keepHistory,omitempty"`
	// Propagation of deletions: "foreground", "background" or "orphan"; empty is
	// background.
	Propagation string      `json:"propagation,omitempty"`
	Remediation Remediation `json:"remediation,omitzero"`
}

// Remediation is what follows when an action fails. The zero value does nothing: the
// release stays as it failed until something changes.
type Remediation struct {
	// Retries is how often it is tried again; a negative number is for ever. Before
	// each, what failed is rolled back or, of an installation, uninstalled.
	Retries int `json:"retries,omitempty"`
	// Last does so after the last attempt as well.
	Last bool `json:"last,omitempty"`
	// Uninstall uninstalls in place of rolling back.
	Uninstall bool `json:"uninstall,omitempty"`
	// PassTests does not count failed tests as a failure.
	PassTests bool `json:"passTests,omitempty"`
	// Again, unless 0, upgrades again after each such time, for ever, and does nothing
	// else: the other fields have no effect.
	Again time.Duration `json:"again,omitempty"`
}

// ReleaseTests says whether the chart's tests run once a release was installed or
// upgraded.
type ReleaseTests struct {
	Run     bool          `json:"run,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // 0 is that of the release
	// Only are the names of those that run, Except of those that do not; empty is all.
	Only   []string `json:"only,omitempty"`
	Except []string `json:"except,omitempty"`
}

// ApplyMethod is a way in which Helm applies objects.
type ApplyMethod string

// The ways to apply.
const (
	ApplyServer ApplyMethod = "server" // server-side apply
	ApplyClient ApplyMethod = "client" // a patch that the client works out
)

// CRDPolicy is what is done with the definitions in a chart's crds directory. None
// are ever deleted.
type CRDPolicy string

// What is done with definitions.
const (
	CRDsSkip    CRDPolicy = "skip"
	CRDsCreate  CRDPolicy = "create"  // those that are not there
	CRDsReplace CRDPolicy = "replace" // the others are updated, too
)

// ReleaseDrift is what is done about changes by others to a release's objects.
type ReleaseDrift string

// What is done about drift.
const (
	DriftPassed    ReleaseDrift = "" // it is not looked for
	DriftReported  ReleaseDrift = "report"
	DriftCorrected ReleaseDrift = "correct"
)

// DriftRule names fields that are never drift.
type DriftRule struct {
	Target   *Selector `json:"target,omitempty"` // nil is every object
	Pointers []string  `json:"pointers"`         // JSON pointers (RFC 6901)
}

// PostRenderer changes rendered manifests as a kustomization does.
type PostRenderer struct {
	Patches []KustomizePatch `json:"patches,omitempty"`
	Images  []string         `json:"images,omitempty"` // [NAME=]IMAGE[:TAG|@DIGEST]
}

// ID is what stands for the release itself where apps claim objects: Helm knows a
// release by where its records are, and its name.
func (r *Release) ID() object.ID {
	return object.ID{Group: "helm.sh", Kind: "Release", Namespace: cmp.Or(r.Storage, r.Namespace), Name: r.Name}
}

// Wanted names all that decides what the release should be, short of what
// ValuesFrom stand for. How it is brought about is no part of it.
func (r *Release) Wanted() string {
	state := *r
	state.Install, state.Upgrade, state.Rollback, state.Uninstall = ReleaseAction{}, ReleaseAction{}, ReleaseAction{}, ReleaseAction{}
	state.Tests, state.Timeout, state.History, state.Drift, state.DriftIgnore, state.Reinstall = ReleaseTests{}, 0, 0, "", nil, false
	data, err := json.Marshal(state)
	if err != nil {
		panic(err) // NewReleaseBundle has encoded it before
	}
	return object.Digest([]byte(r.Chart.Digest()), data)
}

// NewReleaseBundle returns the bundle of an app that is a release, named by its
// content. It takes values to be what they are as JSON, in which all numbers are of
// one type, as Helm does.
func NewReleaseBundle(r *Release) (*Bundle, error) {
	switch {
	case r.Name == "" || r.Namespace == "":
		return nil, errors.New("a release needs a name and a namespace")
	case !slices.ContainsFunc(r.Chart.Files, func(f ChartFile) bool { return f.Name == "Chart.yaml" }):
		return nil, fmt.Errorf("the release %s/%s has a chart without a Chart.yaml", r.Namespace, r.Name)
	}
	data, err := json.Marshal(r)
	own := &Release{}
	if err == nil {
		err = json.Unmarshal(data, own)
	}
	if err == nil {
		data, err = json.Marshal(own)
	}
	if err != nil {
		return nil, fmt.Errorf("encoding the release %s/%s: %w", r.Namespace, r.Name, err)
	}
	own.Chart.Files = slices.SortedFunc(slices.Values(r.Chart.Files), func(a, b ChartFile) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), bytes.Compare(a.Data, b.Data))
	})
	return &Bundle{Release: own, Digest: object.Digest([]byte("release"), []byte(own.Chart.Digest()), data)}, nil
}
