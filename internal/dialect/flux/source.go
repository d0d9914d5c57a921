package flux

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/app/asking"
	"nave.dev/internal/dialect/manifest"
	"nave.dev/internal/object"
)

// source is a GitRepository.
type source struct {
	gitRepository
	app       string // that has it
	place     string
	malformed error
}

// chartsOf says where charts are.
type chartsOf struct {
	chartSource
	place     string
	malformed error
}

// artifact is one that an ArtifactGenerator makes.
type artifact struct {
	outputArtifact
	of    *artifactGenerator
	app   string
	place string
	err   error
}

// takeSource takes in an object that says where files are.
func (q *question) takeSource(id object.ID, o asking.Object, place string) {
	switch id.Kind {
	case "GitRepository":
		s := source{app: o.App, place: place}
		unknown, err := manifest.Decode(o.Manifest.Object, &s.gitRepository)
		s.malformed = err
		q.unknown(o.App, place, unknown)
		q.sources[id] = append(q.sources[id], s)
	case "ArtifactGenerator":
		g := &artifactGenerator{}
		unknown, err := manifest.Decode(o.Manifest.Object, g)
		q.unknown(o.App, place, unknown)
		for _, output := range g.Spec.Artifacts {
			at := object.ID{Group: sourceGroup, Kind: "ExternalArtifact", Namespace: id.Namespace, Name: output.Name}
			q.artifacts[at] = append(q.artifacts[at], artifact{outputArtifact: output, of: g, app: o.App, place: place, err: err})
		}
		if err != nil {
			q.warn(o.App, place, err.Error())
		}
	case "HelmRepository", "HelmChart", "OCIRepository":
		s := chartsOf{place: place}
		unknown, err := manifest.Decode(o.Manifest.Object, &s.chartSource)
		s.malformed = err
		q.unknown(o.App, place, unknown)
		q.charts[id] = append(q.charts[id], s)
	case "Bucket", "ExternalArtifact":
		// Who names one says what is wrong with it.
	default:
		q.warn(o.App, place, "it is left out: Nave does not know this kind")
	}
}

func (q *question) unknown(of, place string, fields []string) {
	for _, field := range fields {
		q.warn(of, place, field+": Flux has no such field, and leaves it out")
	}
}

// files are where an app's files are.
type files struct {
	app.Origin
	ignore  string
	suspend bool // nothing new is taken from there
}

// sourceID is the identity of the object that a reference in a namespace names.
func sourceID(ref reference, namespace string) object.ID {
	return object.ID{Group: sourceGroup, Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, namespace), Name: ref.Name}
}

// filesOf resolves the reference of an object in a namespace.
func (q *question) filesOf(ref reference, namespace string) (files, error) {
	id := sourceID(ref, namespace)
	switch ref.Kind {
	case "GitRepository":
		return q.repository(id, 0)
	case "ExternalArtifact":
		return q.generated(id)
	case "OCIRepository":
		return q.inRegistry(id, false)
	case "Bucket":
		return files{}, errors.New("kind Bucket: files in buckets are not read\nhint: name a GitRepository")
	}
	return files{}, fmt.Errorf("kind %q is no source of files\nhint: name a GitRepository, an OCIRepository or an ExternalArtifact", ref.Kind)
}

// maxIncludes is how deep repositories may include others.
const maxIncludes = 8

// repository returns where the files of a GitRepository are.
func (q *question) repository(id object.ID, depth int) (files, error) {
	found := q.sources[id]
	if len(found) == 0 && id.Namespace == Namespace && id.Name == Namespace {
		return files{Origin: app.Origin{Own: true}}, nil // as bootstrap writes it
	}
	s, err := one(id, found, func(s source) any { return s.Spec })
	if err != nil {
		return files{}, err
	}
	at := func(err error) (files, error) { return files{}, fmt.Errorf("%s: %w", s.place, err) }
	if s.malformed != nil {
		return at(s.malformed)
	}
	out := files{ignore: s.Spec.Ignore, suspend: s.Spec.Suspend}
	if out.Own = s.Spec.URL == ""; !out.Own {
		out.Repository = s.Spec.URL
		if out.Revision, err = s.Spec.Ref.revision(); err != nil {
			return at(err)
		}
	}
	if out.Signed, err = s.Spec.Verify.signed(); err != nil {
		return at(err)
	}
	if len(s.Spec.Include) == 0 {
		return out, nil
	}
	if depth == maxIncludes {
		return at(fmt.Errorf("spec.include: repositories include each other more than %d times in a row", maxIncludes))
	}
	layers := []app.Layer{out.layer("**", "")}
	for i, in := range s.Spec.Include {
		more, err := q.repository(object.ID{Group: sourceGroup, Kind: "GitRepository", Namespace: id.Namespace, Name: in.Repository.Name}, depth+1)
		if err == nil && len(more.Layers) > 0 {
			err = errors.New("it includes others itself, which is not read\nhint: include those here")
		}
		from, to := path.Clean("/" + in.FromPath)[1:], path.Clean("/" + in.ToPath)[1:]
		if in.ToPath == "" {
			to = in.Repository.Name
		}
		if err != nil {
			return at(fmt.Errorf("spec.include[%d].repository: %w", i, err))
		}
		layers = append(layers, more.layer(path.Join(escaped(from), "**"), to))
	}
	return files{Origin: app.Origin{Layers: layers}, suspend: out.suspend}, nil
}

// escaped is a path as a pattern that means it alone.
func escaped(text string) string {
	return strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`).Replace(text)
}

// layer takes files from there.
func (f files) layer(from, to string) app.Layer {
	return app.Layer{Repository: f.Repository, Revision: f.Revision, Artifact: f.Artifact, Own: f.Own, Signed: f.Signed, From: from, To: to, Ignore: f.ignore}
}

// one returns the one of several objects of an identity, if they are the same.
func one[T any](id object.ID, found []T, content func(T) any) (T, error) {
	if len(found) == 0 {
		var none T
		return none, fmt.Errorf("there is no %s %s/%s among the objects of the Delivery\nhint: sources count in the Delivery that has them", id.Kind, id.Namespace, id.Name)
	}
	for _, other := range found[1:] {
		if !reflect.DeepEqual(content(other), content(found[0])) {
			return found[0], fmt.Errorf("there are two of %s %s/%s, and they are not the same", id.Kind, id.Namespace, id.Name)
		}
	}
	return found[0], nil
}

// revision is what of a reference counts: Flux looks in this order.
func (r gitRef) revision() (string, error) {
	switch {
	case r.Commit != "":
		return r.Commit, nil
	case r.Name != "":
		if !strings.HasPrefix(r.Name, "refs/heads/") && !strings.HasPrefix(r.Name, "refs/tags/") {
			return "", fmt.Errorf("spec.ref.name: %q is no branch and no tag, and others are not fetched", r.Name)
		}
		return r.Name, nil
	case r.SemVer != "":
		return r.SemVer, nil
	case r.Tag != "":
		return "refs/tags/" + r.Tag, nil
	case r.Branch != "":
		return "refs/heads/" + r.Branch, nil
	}
	return "refs/heads/master", nil
}

// signed reports whether commits must be signed. Whose signatures count says the Fleet.
func (v *gitVerify) signed() (bool, error) {
	if v == nil {
		return false, nil
	}
	if v.Mode != "" && v.Mode != "HEAD" && v.Mode != "head" {
		return false, fmt.Errorf("spec.verify.mode: %q: signatures of tags are not checked, only those of commits", v.Mode)
	}
	return true, nil
}

// generated returns where the files of an artifact are that an ArtifactGenerator makes.
func (q *question) generated(id object.ID) (files, error) {
	a, err := one(id, q.artifacts[id], func(a artifact) any { return []any{a.Copy, a.of.Spec.Sources} })
	if err != nil {
		return files{}, err
	}
	at := func(format string, args ...any) (files, error) {
		return files{}, fmt.Errorf("%s: %w", a.place, fmt.Errorf(format, args...))
	}
	if a.err != nil {
		return at("%w", a.err)
	}
	if a.of.Spec.PathPattern != "" {
		return at("spec.pathPattern: artifacts for each match of a pattern are not made\nhint: list them")
	}
	namespace := id.Namespace
	froms := map[string]files{}
	var out files
	for i, s := range a.of.Spec.Sources {
		if s.Kind != "GitRepository" && s.Kind != "OCIRepository" {
			return at("spec.sources[%d].kind: %s: artifacts are made of GitRepositories and OCIRepositories alone", i, s.Kind)
		}
		from, err := q.filesOf(reference{Kind: s.Kind, Name: s.Name, Namespace: s.Namespace}, namespace)
		if err == nil && len(from.Layers) > 0 {
			err = errors.New("it includes others, which is not read here\nhint: make those sources of the generator")
		}
		if err != nil {
			return at("spec.sources[%d]: %w", i, err)
		}
		froms[s.Alias] = from
		out.suspend = out.suspend || from.suspend
	}
	for i, c := range a.Copy {
		field := fmt.Sprintf("spec.artifacts %q: copy[%d]", a.Name, i)
		alias, pattern, ok := strings.Cut(strings.TrimPrefix(c.From, "@"), "/")
		from, known := froms[alias]
		to, below := strings.CutPrefix(c.To, "@artifact/")
		switch {
		case !ok || !strings.HasPrefix(c.From, "@") || !known:
			return at("%s.from: %q names no source\nhint: @ALIAS/PATTERN", field, c.From)
		case !below:
			return at("%s.to: %q is not in the artifact\nhint: @artifact/PATH", field, c.To)
		case leads(pattern) || leads(to):
			return at("%s: it leads out of the tree", field)
		case c.Strategy != "" && c.Strategy != "Overwrite":
			return at("%s.strategy: %q is not done, only Overwrite", field, c.Strategy)
		}
		layer := from.layer(pattern, to)
		layer.Exclude = c.Exclude
		out.Layers = append(out.Layers, layer)
	}
	if len(out.Layers) == 0 {
		return at("spec.artifacts %q: it copies nothing", a.Name)
	}
	return out, nil
}

// leads reports whether a path leads out of its tree.
func leads(name string) bool {
	return strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..")
}
