package applicationset

// What is read of an ApplicationSet. A field that is any is looked at as it is, or
// only for being there.

type applicationSet struct {
	APIVersion string             `json:"apiVersion,omitempty"`
	Kind       string             `json:"kind,omitempty"`
	Metadata   map[string]any     `json:"metadata"`
	Spec       applicationSetSpec `json:"spec"`
	Status     any                `json:"status,omitempty"`
}

type applicationSetSpec struct {
	GoTemplate        bool           `json:"goTemplate,omitempty"`
	GoTemplateOptions []string       `json:"goTemplateOptions,omitempty"`
	Generators        []any          `json:"generators"`
	Template          map[string]any `json:"template"`
	TemplatePatch     *string        `json:"templatePatch,omitempty"`
	SyncPolicy        *struct {
		PreserveResourcesOnDeletion bool   `json:"preserveResourcesOnDeletion,omitempty"`
		ApplicationsSync            string `json:"applicationsSync,omitempty"`
	} `json:"syncPolicy,omitempty"`
	Strategy *struct {
		Type          string `json:"type,omitempty"`
		RollingSync   any    `json:"rollingSync,omitempty"`
		DeletionOrder string `json:"deletionOrder,omitempty"`
	} `json:"strategy,omitempty"`
	PreservedFields              any   `json:"preservedFields,omitempty"`
	ApplyNestedSelectors         any   `json:"applyNestedSelectors,omitempty"`
	IgnoreApplicationDifferences []any `json:"ignoreApplicationDifferences,omitempty"`
}

// generator is one of any depth. What cannot be nested there is checked where it
// is evaluated.
type generator struct {
	List     *listGenerator    `json:"list,omitempty"`
	Clusters *clusterGenerator `json:"clusters,omitempty"`
	Git      *gitGenerator     `json:"git,omitempty"`
	Matrix   *nestedGenerator  `json:"matrix,omitempty"`
	Merge    *nestedGenerator  `json:"merge,omitempty"`
	Selector *labelSelector    `json:"selector,omitempty"`

	SCMProvider             any `json:"scmProvider,omitempty"`
	ClusterDecisionResource any `json:"clusterDecisionResource,omitempty"`
	PullRequest             any `json:"pullRequest,omitempty"`
	Plugin                  any `json:"plugin,omitempty"`
}

type listGenerator struct {
	Elements     []map[string]any `json:"elements,omitempty"`
	ElementsYAML string           `json:"elementsYaml,omitempty"`
	Template     map[string]any   `json:"template,omitempty"`
}

type clusterGenerator struct {
	Selector labelSelector     `json:"selector,omitempty"`
	Values   map[string]string `json:"values,omitempty"`
	FlatList bool              `json:"flatList,omitempty"`
	Template map[string]any    `json:"template,omitempty"`
}

type gitGenerator struct {
	RepoURL             string            `json:"repoURL"`
	Revision            string            `json:"revision"`
	Directories         []gitItem         `json:"directories,omitempty"`
	Files               []gitItem         `json:"files,omitempty"`
	PathParamPrefix     string            `json:"pathParamPrefix,omitempty"`
	Values              map[string]string `json:"values,omitempty"`
	RequeueAfterSeconds any               `json:"requeueAfterSeconds,omitempty"`
	Template            map[string]any    `json:"template,omitempty"`
}

type gitItem struct {
	Path    string `json:"path"`
	Exclude bool   `json:"exclude,omitempty"`
}

type nestedGenerator struct {
	Generators []generator    `json:"generators"`
	MergeKeys  []string       `json:"mergeKeys,omitempty"`
	Template   map[string]any `json:"template,omitempty"`
}

type labelSelector struct {
	MatchLabels      map[string]string   `json:"matchLabels,omitempty"`
	MatchExpressions []selectorCondition `json:"matchExpressions,omitempty"`
}

type selectorCondition struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}
