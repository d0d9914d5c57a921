package fleet

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"nave.dev/api/v1alpha1"
	"nave.dev/internal/app"
)

// RemoteSource returns the source whose repository a reference names, be it in a kustomization of the Delivery or in
// what that refers to. Who may use a source is the same question as for a Delivery that is from it: the Fleet's answer
// counts for all that the Delivery has. same says whether a source is the repository; ref is what the reference says of
// a branch, tag or commit, for the advice in the error.
func (f *Fleet) RemoteSource(delivery, repository, ref string, same func(v1alpha1.Source) bool) (v1alpha1.Source, error) {
	advice := fmt.Sprintf("{name: %s, url: %q, revision: {%s}, deliveries: [%s]}", suggestName(repository), repository, suggestRevision(ref), delivery)
	return f.usableSource(delivery, advice, same)
}

// ChartSource returns the source of charts that a reference names by its URL, or by its host and path in a registry, on
// the terms of RemoteSource.
func (f *Fleet) ChartSource(delivery, repository string, same func(v1alpha1.Source) bool) (v1alpha1.Source, error) {
	if !strings.Contains(repository, "://") {
		repository = "oci://" + repository
	}
	advice := fmt.Sprintf("{name: %s, type: helm, url: %q, deliveries: [%s]}", suggestName(repository), repository, delivery)
	return f.usableSource(delivery, advice, same)
}

// ArtifactSource returns the source of artifacts with manifests that are below a place in a registry, oci://HOST/PATH, on
// the terms of RemoteSource.
func (f *Fleet) ArtifactSource(delivery, place string, same func(v1alpha1.Source) bool) (v1alpha1.Source, error) {
	advice := fmt.Sprintf("{name: %s, type: oci, url: %q, deliveries: [%s]}", suggestName(place), place, delivery)
	return f.usableSource(delivery, advice, same)
}

// usableSource returns the source that is meant, if the Delivery may use it. The advice is what to add to the sources if
// there is none.
func (f *Fleet) usableSource(delivery, advice string, same func(v1alpha1.Source) bool) (v1alpha1.Source, error) {
	var refused, broken string
	for _, name := range f.sourceNames() {
		s := f.sources[name]
		switch {
		case !same(s.Source):
		case s.broken:
			broken = name
		case !s.allows(delivery):
			refused = name
		default:
			return s.Source, nil
		}
	}
	switch {
	case refused != "":
		return v1alpha1.Source{}, fmt.Errorf("source %q may not be used by Delivery %q, only by %s\nhint: the Fleet may add it to the deliveries of source %q",
			refused, delivery, strings.Join(f.sources[refused].Deliveries, ", "), refused)
	case broken != "":
		return v1alpha1.Source{}, fmt.Errorf("source %q is in error", broken)
	}
	return v1alpha1.Source{}, fmt.Errorf("its repository is no source of the fleet\nhint: add it to the Fleet's spec.sources: %s", advice)
}

// UsableSource returns a source by its name, if the Delivery may use it.
func (f *Fleet) UsableSource(delivery, name string) (v1alpha1.Source, error) {
	s, ok := f.sources[name]
	if !ok || s.broken || !s.allows(delivery) {
		return v1alpha1.Source{}, fmt.Errorf("source %q may not be used by Delivery %q", name, delivery)
	}
	return s.Source, nil
}

// sourceNames are the names of all sources, those in error among them, in the order of the document.
func (f *Fleet) sourceNames() []string {
	var names []string
	for _, s := range f.Sources {
		names = append(names, s.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.sources)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// allows reports whether a Delivery may use the source.
func (s *source) allows(delivery string) bool {
	return slices.ContainsFunc(s.Deliveries, func(pattern string) bool { return app.Match(pattern, delivery) })
}

var notInName = regexp.MustCompile(`[^a-z0-9.-]+`)

// suggestName makes the name of a source of its repository's.
func suggestName(repository string) string {
	name := strings.TrimSuffix(path.Base(strings.ReplaceAll(repository, ":", "/")), ".git")
	if name = strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "-"), ".-"); name == "" {
		return "base"
	}
	return name[:min(len(name), 63)]
}

var (
	commitHash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	version    = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+)*`)
)

// suggestRevision makes a source's revision of the ref of a reference to it.
func suggestRevision(ref string) string {
	switch {
	case ref == "":
		return "branch: main"
	case commitHash.MatchString(ref):
		return "commit: " + ref
	case version.MatchString(ref):
		return fmt.Sprintf("tag: %q", ref)
	}
	return fmt.Sprintf("branch: %q", ref)
}
