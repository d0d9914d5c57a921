package lint

import (
	"fmt"
	"slices"
	"strings"
)

// A layer is a set of packages with the same place in the design. Each pattern
// is a tree of its own, which may import itself. Tests may in addition import
// what testLayers names.
type layer struct {
	name     string
	packages []string // patterns as in covers
	imports  []string // layers, or patterns of packages, that it may import
	outside  []string // modules that it may import; empty: as restrictions say
}

// layers is the design's list of packages and of who composes whom. Every
// package of the root module has a place in it.
var layers = []layer{{
	name:     "api", // kinds of the fleet repository, which others may vendor
	packages: []string{"api/..."},
	outside:  []string{"k8s.io/apimachinery"},
}, {
	name:     "files", // embedded directories: an embed.FS and no logic
	packages: []string{"charts/...", "docs/...", "examples/...", "ui/..."},
}, {
	name:     "support", // knows nothing of Nave
	packages: []string{"internal/strictyaml/...", "internal/cel/...", "internal/program/...", "internal/atomicfile/...", "internal/heap/...", "internal/window/...", "internal/glob/...", "internal/keyring/...", "internal/variables/..."},
}, {
	name:     "vocabulary", // the values that engines exchange
	packages: []string{"internal/object/...", "internal/change/...", "internal/app/..."},
	imports:  []string{"api", "support", "vocabulary"},
	outside:  []string{"k8s.io/apimachinery", "sigs.k8s.io/structured-merge-diff", "sigs.k8s.io/yaml", "go.yaml.in/yaml"},
}, {
	name: "engine", // never imports another engine
	packages: []string{
		"internal/gitsource/...", "internal/chartsource/...", "internal/fleet/...", "internal/render/...", "internal/dialect/...",
		"internal/apply/...", "internal/health/...", "internal/release/...", "internal/secret/...",
		"internal/policy/...", "internal/rollout/...", "internal/backup/...", "internal/federate/...",
		"internal/cost/...", "internal/failover/...",
	},
	imports: []string{"api", "support", "vocabulary"},
}, {
	name:     "composition", // the only packages that bring engines together
	packages: []string{"internal/desired/...", "internal/spoke/...", "internal/install/..."},
	imports:  []string{"api", "files", "support", "vocabulary", "engine", "composition"},
}, {
	name:     "question", // what a cluster can be asked, for those who ask it and who pass that on
	packages: []string{"internal/live/..."},
	imports:  []string{"api", "support", "vocabulary"},
}, {
	name:     "protocol", // what hub and agent say to each other
	packages: []string{"internal/protocol/..."},
	imports:  []string{"api", "support", "vocabulary", "composition"},
}, {
	name:     "kept", // what a cluster keeps of its assignment
	packages: []string{"internal/kept/..."},
	imports:  []string{"api", "support", "vocabulary", "composition", "protocol"},
}, {
	name:     "transport",
	packages: []string{"internal/tunnel/..."},
	imports:  []string{"api", "support", "vocabulary"},
}, {
	name:     "memory", // what was observed, and how it is asked for
	packages: []string{"internal/store/...", "internal/view/..."},
	imports:  []string{"api", "support", "vocabulary", "memory"},
}, {
	name:     "people", // who may use a hub, and what they did
	packages: []string{"internal/people/..."},
	imports:  []string{"api", "support", "vocabulary", "memory"},
}, {
	name:     "web",
	packages: []string{"internal/web/..."},
	imports:  []string{"api", "files", "support", "vocabulary", "memory"},
}, {
	name:     "process", // hub and agent do not know each other
	packages: []string{"internal/hub/...", "internal/agent/..."},
	imports:  []string{"api", "support", "vocabulary", "question", "composition", "protocol", "kept", "transport", "memory", "people", "web"},
}, {
	name:     "cli",
	packages: []string{"internal/cli/..."},
	imports:  []string{"api", "files", "support", "vocabulary", "question", "composition", "protocol", "transport", "memory", "people", "web", "process"},
}, {
	name:     "nave",
	packages: []string{"cmd/nave"},
	// A render worker is the nave binary run again, so main is where it begins.
	imports: []string{"support", "cli", "process", "internal/render"},
}, {
	name:     "lab", // runs nave as a user would, and is no part of it
	packages: []string{"internal/lab/..."},
	imports:  []string{"api", "files", "support", "vocabulary"},
}, {
	name:     "swarm", // very many agents of the product, measured by the lab
	packages: []string{"internal/swarm/..."},
	imports:  []string{"api", "support", "vocabulary", "composition", "protocol", "transport", "lab", "internal/health", "internal/agent/fetch"},
}, {
	name:     "nave-lab",
	packages: []string{"cmd/nave-lab"},
	imports:  []string{"support", "lab", "swarm"},
}, {
	name:     "testenv", // in no list: only tests may import it
	packages: []string{"internal/testenv/..."},
	imports:  []string{"lab", "support"},
}, {
	name:     "metamorphic", // tests alone
	packages: []string{"internal/metamorphic"},
	imports:  []string{"vocabulary", "composition"},
}, {
	name:     "lint",
	packages: []string{"internal/lint"},
}}

// testLayers are what every test may import, whatever its package may.
var testLayers = []string{"lab", "testenv"}

// place finds the layer of a package and its tree in it, or nil.
func place(dir string) (*layer, string) {
	for i := range layers {
		for _, pattern := range layers[i].packages {
			if covers(pattern, dir) {
				return &layers[i], pattern
			}
		}
	}
	return nil, ""
}

// layerImports holds every import of the root module against the layers.
func layerImports(r *repository) (found []violation) {
	unplaced := ""
	for _, f := range r.files {
		if !f.product() {
			continue
		}
		own, tree := place(f.dir())
		if own == nil {
			if f.dir() != unplaced {
				unplaced = f.dir()
				found = append(found, violation{f.dir(), "the package has no place in the layers: add it to one in internal/lint/imports_test.go"})
			}
			continue
		}
		for _, spec := range f.syntax.Imports {
			if text := own.refuses(importPath(spec), tree, f.test); text != "" {
				found = append(found, violation{r.at(spec.Pos()), text})
			}
		}
	}
	return found
}

// refuses says why a package in one of the layer's trees may not import path;
// the empty string means that it may.
func (l *layer) refuses(path, tree string, test bool) string {
	dir, internal := strings.CutPrefix(path, module+"/")
	if !internal {
		inside := func(m string) bool { return within(m, path) }
		if test || len(l.outside) == 0 || isStandard(path) || slices.ContainsFunc(l.outside, inside) {
			return ""
		}
		return fmt.Sprintf("package of layer %q imports %s: besides the standard library it may import only %s",
			l.name, path, strings.Join(l.outside, ", "))
	}
	to, toTree := place(dir)
	if to == nil || toTree == tree { // an unplaced package is reported where it stands
		return ""
	}
	allowed := l.imports
	if test {
		allowed = slices.Concat(allowed, testLayers)
	}
	if slices.Contains(allowed, to.name) || slices.ContainsFunc(allowed, func(p string) bool { return covers(p, dir) }) {
		return ""
	}
	may := "nothing of this repository"
	if len(allowed) > 0 {
		may = "only " + strings.Join(allowed, ", ")
	}
	return fmt.Sprintf("package of layer %q imports %s of layer %q: it may import %s; pass values, or declare an interface where it is used",
		l.name, dir, to.name, may)
}

// isStandard reports whether path belongs to the standard library: only there
// does the first element have no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// within reports whether path is root or below it.
func within(root, path string) bool { return covers(root+"/...", path) }

// A restriction says which packages may import what lies at or below path. Of
// two that fit, the longer path counts.
type restriction struct {
	path    string
	users   []string // patterns as in covers; empty: nobody
	instead string   // what to do where nobody may
}

var restrictions = []restriction{
	// Heavy dependencies: one package each, save Helm and CEL.
	{path: "sigs.k8s.io/kustomize", users: []string{"internal/render/..."}},
	{path: "helm.sh/helm", users: []string{"internal/render/...", "internal/release/..."}},
	{path: "github.com/google/go-jsonnet", users: []string{"internal/render/..."}},
	{path: "github.com/robfig/cron", users: []string{"internal/window/...", "internal/glob/...", "internal/keyring/..."}},
	{path: "dario.cat/mergo", users: []string{"internal/dialect/argocd/applicationset"}},
	{path: "github.com/itchyny/gojq", users: []string{"internal/apply/jq/..."}},
	{path: "github.com/yuin/gopher-lua", users: []string{"internal/health/..."}},
	{path: "github.com/fluxcd/cli-utils", users: []string{"internal/health/...", "internal/release"}},
	{path: "github.com/argoproj/argo-cd", instead: "only its resource_customizations are light enough to link"},
	{path: "github.com/argoproj/argo-cd/v3/resource_customizations", users: []string{"internal/health/..."}},
	{path: "github.com/google/cel-go", users: []string{"internal/cel/...", "internal/health/...", "internal/policy/..."}},
	{path: "k8s.io/apiserver", users: []string{"internal/cel/...", "internal/health/...", "internal/policy/..."}},
	{path: "github.com/fluxcd/pkg/envsubst", users: []string{"internal/variables/..."}},
	{path: "filippo.io/age", users: []string{"internal/secret/..."}},
	{path: "github.com/getsops/sops", users: []string{"internal/secret/..."}},
	{path: "oras.land/oras-go", users: []string{"internal/chartsource/..."}},
	{path: "github.com/google/go-containerregistry", users: []string{"internal/chartsource/..."}}, // a registry for tests
	{path: "github.com/ProtonMail/go-crypto", users: []string{"internal/keyring/...", "internal/chartsource/...", "internal/gitsource/commitsig"}},
	{path: "github.com/go-git", users: []string{"internal/gitsource/..."}},
	{path: "modernc.org/sqlite", users: []string{"internal/store/..."}},
	{path: "github.com/jackc/pgx", users: []string{"internal/store/..."}},
	{path: "github.com/kyverno", users: []string{"internal/policy/..."}},
	{path: "github.com/kyverno/kyverno/cmd", instead: "its command's packages add more than the engine itself"},
	{path: "github.com/open-policy-agent", users: []string{"internal/policy/..."}},
	{path: "github.com/prometheus/prometheus", users: []string{"internal/federate/..."}},
	{path: "github.com/thanos-io", users: []string{"internal/federate/..."}},
	{path: "github.com/vmware-tanzu/velero", users: []string{"internal/backup/..."}},
	{path: "github.com/kubernetes-csi/external-snapshotter", users: []string{"internal/backup/..."}},
	{path: "gocloud.dev", users: []string{"internal/backup/..."}},
	{path: "k8s.io/autoscaler", users: []string{"internal/cost/..."}},
	{path: "github.com/miekg/dns", users: []string{"internal/failover/..."}},
	{path: "github.com/danielgtaylor/huma", users: []string{"internal/web/..."}},
	{path: "google.golang.org/grpc", users: []string{"internal/tunnel/..."}},
	{path: "github.com/spf13/cobra", users: []string{"cmd/nave", "cmd/nave-lab", "internal/cli/..."}},
	{path: "k8s.io/kubernetes", instead: "the control plane is built in kube/, which has a module of its own"},
	{path: "go.etcd.io/etcd", instead: "the control plane is built in kube/, which has a module of its own"},

	// Engines, and what lies below them, do not log: they return what happened.
	{path: "log/slog", users: loggers},
	{path: "github.com/go-logr/logr", users: loggers},
	{path: "k8s.io/klog", users: loggers},
	{path: "log", instead: "use log/slog"},

	// What the standard library does as well.
	{path: "io/ioutil", instead: "use io and os"},
	{path: "github.com/pkg/errors", instead: "use errors, and fmt.Errorf with %w"},
	{path: "github.com/stretchr/testify", instead: "use testing and go-cmp"},
	{path: "github.com/onsi", instead: "use testing and go-cmp"},
}

// loggers are the packages that decide what is worth a line in a log.
var loggers = []string{
	"cmd/nave", "cmd/nave-lab", "internal/agent/...", "internal/cli/...", "internal/desired/...", "internal/hub/...",
	"internal/lab/...", "internal/people/gate", "internal/spoke/...", "internal/store/...", "internal/testenv/...", "internal/tunnel/...", "internal/web/...",
}

// restrictedImports holds every import of the root module, tests included,
// against the restrictions.
func restrictedImports(r *repository) (found []violation) {
	for _, f := range r.files {
		if !f.product() {
			continue
		}
		for _, spec := range f.syntax.Imports {
			path := importPath(spec)
			rule := restrictionOf(path)
			if rule == nil || slices.ContainsFunc(rule.users, func(user string) bool { return covers(user, f.dir()) }) {
				continue
			}
			text := fmt.Sprintf("imports %s: nobody may; %s", path, rule.instead)
			if len(rule.users) > 0 {
				text = fmt.Sprintf("imports %s: only %s may; pass values, or go through it", path, strings.Join(rule.users, ", "))
			}
			found = append(found, violation{r.at(spec.Pos()), text})
		}
	}
	return found
}

// restrictionOf finds the restriction with the longest path that path is within.
func restrictionOf(path string) (longest *restriction) {
	for i, candidate := range restrictions {
		if within(candidate.path, path) && (longest == nil || len(candidate.path) > len(longest.path)) {
			longest = &restrictions[i]
		}
	}
	return longest
}
