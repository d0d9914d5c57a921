package flux

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// chartSource returns what a HelmRepository, HelmChart or OCIRepository says.
func (q *question) chartSource(id object.ID) (chartSourceSpec, error) {
	found, err := one(id, q.charts[id], func(s chartsOf) any { return s.Spec })
	if err == nil && found.malformed != nil {
		err = fmt.Errorf("%s: %w", found.place, found.malformed)
	}
	return found.Spec, err
}

// inRegistry returns where the files of an OCIRepository are, or the chart of one.
func (q *question) inRegistry(id object.ID, chart bool) (files, error) {
	s, err := q.chartSource(id)
	if err != nil {
		return files{}, err
	}
	repository, name := path.Split(strings.TrimSuffix(s.URL, "/"))
	out := files{ignore: s.Ignore, suspend: s.Suspend}
	out.Repository = strings.TrimSuffix(repository, "/")
	out.Artifact = &app.Artifact{
		Name: name, Digest: s.Ref.Digest, Versions: s.Ref.SemVer, Filter: s.Ref.SemverFilter, Tag: s.Ref.Tag, Files: !chart,
	}
	switch l := s.LayerSelector; {
	case !strings.HasPrefix(s.URL, "oci://") || out.Repository == "oci:/":
		err = fmt.Errorf("spec.url: %q is no artifact in a registry\nhint: oci://HOST/PATH", s.URL)
	case chart && l.MediaType != "" && !strings.Contains(l.MediaType, "helm.chart"):
		err = fmt.Errorf("spec.layerSelector.mediaType: %q is no chart", l.MediaType)
	case !chart && l.Operation == "copy":
		err = errors.New("spec.layerSelector.operation: copy leaves an archive, which has no manifests\nhint: extract")
	case !chart && l.Operation != "" && l.Operation != "extract":
		err = fmt.Errorf("spec.layerSelector.operation: %q is not known\nhint: extract", l.Operation)
	case !chart:
		out.Artifact.Layer = l.MediaType
	}
	if signed, refused := s.Verify.cosigned(); err == nil {
		out.Signed = signed
		if err = refused; err != nil {
			err = fmt.Errorf("spec.verify.%w", err)
		}
	}
	if invalid := (app.Artifact{Name: name}).Validate(); err == nil && invalid != nil {
		err = fmt.Errorf("spec.url: %w", invalid)
	} else if invalid := out.Artifact.Validate(); err == nil && invalid != nil {
		err = fmt.Errorf("spec.ref: %w", invalid)
	}
	if err != nil {
		return files{}, fmt.Errorf("OCIRepository %s/%s: %w", id.Namespace, id.Name, err)
	}
	return out, nil
}

// cosigned reports whether a signature of Cosign is wanted. By whose keys says the Fleet.
func (v *named) cosigned() (bool, error) {
	switch {
	case v == nil:
		return false, nil
	case cmp.Or(v.Provider, "cosign") != "cosign":
		return false, fmt.Errorf("provider: signatures of %s are not checked\nhint: cosign, or provenance files of charts by the source of the Fleet", v.Provider)
	case v.MatchOIDCIdentity != nil:
		return false, errors.New("matchOIDCIdentity: signatures without a key of one's own are not checked\nhint: cosign sign --key")
	case v.SecretRef == nil:
		return false, errors.New("secretRef: it names no keys, and signatures without a key of one's own are not checked\nhint: cosign sign --key")
	}
	return true, nil
}
