package chart

import (
	"cmp"
	"fmt"
	neturl "net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	helmyaml "sigs.k8s.io/yaml"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

const (
	// maxRow is how many charts from elsewhere may draw in each other, in a row.
	maxRow = 20
	// maxDrawn is how many charts from elsewhere one chart may draw in.
	maxDrawn = 200
)

// chartFile is the name of the Chart.yaml of a chart or of one of its unpacked subcharts.
var chartFile = regexp.MustCompile(`^((?:charts/[^/]+/)*)(Chart|requirements)\.yaml$`)

// requirement is a dependency as it is stated, by the name that it has among its chart's. Helm keeps the three when it
// resolves aliases.
type requirement struct{ name, version, repository string }

func requirementOf(d *chart.Dependency) requirement {
	return requirement{cmp.Or(d.Alias, d.Name), d.Version, d.Repository}
}

// draw adds the dependencies that a Chart.yaml states and that its charts/ does not hold. One of a chart repository is
// drawn for a chart that is no part of another: what is packed into a chart is as its author built it.
func (l *loaded) draw(t tree.Tree, file *archive.BufferedFile) error {
	at := chartFile.FindStringSubmatch(file.Name)
	if at == nil {
		return nil
	}
	var metadata chart.Metadata
	if err := helmyaml.Unmarshal(file.Data, &metadata); err != nil {
		return invalid(l.place(file.Name), file.Data, err)
	}
	from := drawing{prefix: at[1], file: file, lock: at[1] + at[2] + ".lock", places: map[string]bool{}}
	_, whole := l.origins[from.prefix]
	var missing []int
	for i, dependency := range metadata.Dependencies {
		// What Validate refuses, the loader reports; it also writes names as the loader has them.
		if dependency != nil && dependency.Validate() == nil && dependency.Repository != "" && !l.vendored(from.prefix, dependency.Name) {
			missing = append(missing, i)
		}
	}
	for _, i := range missing {
		dependency := metadata.Dependencies[i]
		local := strings.HasPrefix(dependency.Repository, "file://")
		if !local && !whole {
			continue
		}
		problem := manifest.Problem{File: l.place(file.Name), Line: dependencyLine(file.Data, requirementOf(dependency))}
		var dir string
		var err error
		if local {
			dir, err = l.local(t, from, dependency, problem)
		} else {
			dir, err = l.fetched(t, from, i, dependency, problem)
		}
		if err != nil {
			return err
		}
		if dir == "" {
			continue // it is refused
		}
		if err := l.add(t, from, dependency, dir, problem); err != nil {
			return err
		}
	}
	return nil
}

// drawing is a Chart.yaml while its dependencies are drawn in.
type drawing struct {
	prefix string // of its chart in the chart that is rendered
	file   *archive.BufferedFile
	lock   string          // name of the lock file beside it
	places map[string]bool // directories of the tree that were added
}

// local returns the directory of a dependency in the tree.
func (l *loaded) local(t tree.Tree, from drawing, dependency *chart.Dependency, problem manifest.Problem) (string, error) {
	name := strings.TrimPrefix(dependency.Repository, "file://")
	at := path.Dir(l.place(from.file.Name))
	dir := path.Join(at, name)
	if path.IsAbs(name) || !tree.Within(tree.RemoteRoot(at), dir) {
		problem.Message = fmt.Sprintf("dependency %q is outside of the repository: %s", dependency.Name, dependency.Repository)
		problem.Hint = "move the chart into the repository"
		return "", problem
	}
	kind, err := t.Stat(path.Join(dir, "Chart.yaml"))
	if err != nil {
		message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
		problem.Message, problem.Hint = fmt.Sprintf("dependency %q: %s", dependency.Name, message), hint
		return "", problem
	}
	if kind != tree.File {
		problem.Message = fmt.Sprintf("dependency %q: there is no chart in %q", dependency.Name, dir)
		return "", problem
	}
	return dir, nil
}

// fetched returns the directory in which the tree shows a dependency of a chart repository; none if it is refused.
func (l *loaded) fetched(t tree.Tree, from drawing, i int, dependency *chart.Dependency, problem manifest.Problem) (string, error) {
	missing := fmt.Sprintf("dependency %q %s is not in charts/", dependency.Name, dependency.Version)
	repository, err := repositoryURL(dependency.Repository)
	if err == nil && !plainName.MatchString(dependency.Name) {
		err = fmt.Errorf("%q is not the name of a chart", dependency.Name)
	}
	version := cmp.Or(dependency.Version, "*")
	if err == nil {
		var locked string
		if locked, err = l.locked(from.lock, i, dependency); locked != "" {
			version = locked
		}
	}
	dir := ""
	if err == nil {
		dir, err = t.Remote(repository, v1alpha1.ChartVersion{Chart: dependency.Name, Version: version}.String())
	}
	if err != nil {
		reason, hint, _ := strings.Cut(err.Error(), "\nhint: ")
		problem.Message, problem.Hint = missing+": "+reason, hint
		l.refused[requirementOf(dependency)] = problem
		return "", nil
	}
	return dir, nil
}

// plainName is a chart's name that can be part of a path.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// repositoryURL checks the URL of a chart repository, and leaves out a user and password: the source has them.
func repositoryURL(text string) (string, error) {
	u, err := neturl.Parse(text)
	if err != nil || !slices.Contains([]string{"https", "http", "oci"}, u.Scheme) || u.Host == "" {
		return "", fmt.Errorf("its repository is no URL of a chart repository\nhint: write https://… or oci://…, or run `helm dependency build` and commit charts/")
	}
	u.User = nil
	return u.String(), nil
}

// locked returns the version of a dependency that a lock file states; none if there is no such file.
func (l *loaded) locked(lock string, i int, dependency *chart.Dependency) (string, error) {
	at := slices.IndexFunc(l.files, func(f *archive.BufferedFile) bool { return f.Name == lock })
	if at < 0 {
		return "", nil
	}
	var content struct {
		Dependencies []*chart.Dependency `json:"dependencies"`
	}
	if err := helmyaml.Unmarshal(l.files[at].Data, &content); err != nil {
		return "", fmt.Errorf("reading %s: %w", path.Base(lock), err)
	}
	fits := func(d *chart.Dependency) bool {
		return d != nil && d.Name == dependency.Name && strings.TrimSuffix(d.Repository, "/") == strings.TrimSuffix(dependency.Repository, "/") &&
			chartutil.IsCompatibleRange(cmp.Or(dependency.Version, "*"), d.Version)
	}
	if i < len(content.Dependencies) && fits(content.Dependencies[i]) { // the order is that of Chart.yaml
		return content.Dependencies[i].Version, nil
	}
	if at = slices.IndexFunc(content.Dependencies, fits); at >= 0 {
		return content.Dependencies[at].Version, nil
	}
	return "", fmt.Errorf("%s is older than what is stated here\nhint: run `helm dependency update` and commit %[1]s", path.Base(lock))
}

// add adds the chart of a directory of the tree as if it were in charts/. Aliases may share one.
func (l *loaded) add(t tree.Tree, from drawing, dependency *chart.Dependency, dir string, problem manifest.Problem) error {
	if !from.places[dir] {
		added := from.prefix + "charts/" + dependency.Name + "/"
		for n := 2; l.origins[added] != ""; n++ { // another version of it
			added = fmt.Sprintf("%scharts/%s~%d/", from.prefix, dependency.Name, n)
		}
		if l.drawn++; l.drawn > maxDrawn || strings.Count(added, "charts/") > maxRow {
			problem.Message = fmt.Sprintf("dependencies lead on and on, at last from %q to %q", path.Dir(problem.File), dir)
			return problem
		}
		from.places[dir] = true
		l.origins[added] = dir
		if err := l.gather(t, dir, added); err != nil {
			return err
		}
	}
	if as := from.prefix + "charts/" + dependency.Alias + "/"; dependency.Alias != "" && l.origins[as] == "" {
		l.origins[as] = dir // templates are named by it
	}
	return nil
}

// vendored reports whether charts/ holds a dependency: packed, or unpacked in a directory of any name.
func (l *loaded) vendored(prefix, name string) bool {
	return slices.ContainsFunc(l.files, func(f *archive.BufferedFile) bool {
		below, ok := strings.CutPrefix(f.Name, prefix+"charts/")
		if rest, packed := strings.CutPrefix(below, name); packed && packedRest.MatchString(rest) {
			return ok
		}
		if !ok || path.Base(below) != "Chart.yaml" || strings.Count(below, "/") != 1 {
			return false
		}
		var metadata chart.Metadata
		return helmyaml.Unmarshal(f.Data, &metadata) == nil && metadata.Name == name || path.Dir(below) == name
	})
}

// packedRest is what follows the name of a chart in that of its archive.
var packedRest = regexp.MustCompile(`^-v?[0-9][^/]*\.tgz$`)

// dependencyLine returns the line on which a dependency of a Chart.yaml begins, or 0.
func dependencyLine(data []byte, meant requirement) int {
	var metadata struct {
		Dependencies []yaml.Node `yaml:"dependencies"`
	}
	if yaml.Unmarshal(data, &metadata) != nil {
		return 0
	}
	for _, node := range metadata.Dependencies {
		var d struct{ Name, Alias, Version, Repository string }
		if node.Decode(&d) == nil && meant == (requirement{cmp.Or(d.Alias, d.Name), d.Version, d.Repository}) {
			return node.Line
		}
	}
	return 0
}

// complete reports dependencies that are switched on and not there: those of the chart itself, and of those drawn in
// from elsewhere. Helm knows by now which are switched on.
func (l *loaded) complete() error {
	var problems manifest.Problems
	var look func(c *chart.Chart)
	look = func(c *chart.Chart) {
		for _, dependency := range c.Metadata.Dependencies {
			has := func(d *chart.Chart) bool { return d.Name() == dependency.Name }
			if slices.ContainsFunc(c.Dependencies(), has) {
				continue
			}
			problem, refused := l.refused[requirement{dependency.Name, dependency.Version, dependency.Repository}]
			switch {
			case refused:
			case c != l.Chart:
				continue // Helm does without as well
			default:
				problem = l.unpacked(dependency)
			}
			problems = append(problems, problem)
		}
		for _, d := range c.Dependencies() {
			look(d)
		}
	}
	look(l.Chart)
	return problems.Err()
}

// unpacked is the problem of a dependency of the chart itself that names no place to have it from, or is another there.
func (l *loaded) unpacked(dependency *chart.Dependency) manifest.Problem {
	problem := manifest.Problem{File: path.Join(l.dir, "Chart.yaml"),
		Message: fmt.Sprintf("dependency %q %s is not in charts/", dependency.Name, dependency.Version),
		Hint:    "run `helm dependency build` and commit charts/, or name a chart of the repository by repository: file://…"}
	for _, f := range l.files {
		if f.Name == "Chart.yaml" {
			problem.Line = dependencyLine(f.Data, requirement{dependency.Name, dependency.Version, dependency.Repository})
		}
	}
	return problem
}
