package directory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"nave.dev/internal/glob"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// skipMark is what a file says anywhere that is no manifest to Argo CD.
const skipMark = "+argocd:skip-file-rendering"

// filters are the patterns that say which files count; nil where there is none.
type filters struct{ include, exclude *glob.Glob }

// compile reads the patterns, and takes over the arguments of programs.
func (r *reader) compile() error {
	options := r.in.Options
	r.programs.Options = options.Jsonnet
	r.programs.Search = []string{r.in.Dir}
	for _, filter := range []struct {
		field, pattern string
		to             **glob.Glob
	}{{"include", options.Include, &r.filters.include}, {"exclude", options.Exclude, &r.filters.exclude}} {
		if filter.pattern == "" {
			continue
		}
		compiled, err := glob.Compile(filter.pattern, glob.Whole)
		if err != nil {
			return manifest.Problem{File: r.in.Dir, Message: fmt.Sprintf("directory.%s: %v", filter.field, err),
				Hint: `write a pattern such as "*.yaml", or "{*.yaml,env/*}" for several`}
		}
		*filter.to = compiled
	}
	return nil
}

// counts reports whether a file with a path below the app's directory is to be read.
func (f filters) counts(below string) bool {
	return (f.exclude == nil || !f.exclude.Match(below)) && (f.include == nil || f.include.Match(below))
}

// asArgoCD reads the manifests of a directory, and with recurse of those below it, as Argo CD does: hidden ones too, by
// their paths from the app's directory.
func (r *reader) asArgoCD(dir string) error {
	entries, err := r.tree.List(dir)
	if err != nil {
		return fmt.Errorf("listing %q: %w", dir, err)
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		below := strings.TrimPrefix(name, r.in.Dir+"/")
		counts := path.Ext(name) == program || manifest.IsManifest(name)
		switch {
		case name == tree.RemoteDir: // what is shown there is not of this repository
		case entry.Dir && entry.Link:
			if r.in.Options.Recurse {
				r.warn("%s: is left out: it is a link to a directory", name)
			}
		case entry.Dir && r.in.Options.Recurse:
			if err := r.asArgoCD(name); err != nil {
				return err
			}
		case entry.Dir || !counts || !r.filters.counts(below) || entry.Link && !r.leads(name):
		default:
			if err := r.file(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// leads reports whether a link leads to something, which Argo CD does not insist on.
func (r *reader) leads(link string) bool {
	kind, err := r.tree.Stat(link)
	if err == nil && kind == tree.Absent {
		r.warn("%s: is left out: it is a link to nothing", link)
		return false
	}
	return true
}

// file reads a file that counts.
func (r *reader) file(name string) error {
	data, err := r.tree.ReadFile(name)
	if err != nil {
		r.fail(name, reason(err), "")
		return nil
	}
	data = utf8Text(data)
	switch {
	case bytes.Contains(data, []byte(skipMark)):
		return nil
	case path.Ext(name) == program:
		return r.evaluate(name)
	}
	found, bad := r.decoder.Decode(name, data)
	for _, o := range found {
		if o.GetKind() == "ConfigManagementPlugin" && strings.HasPrefix(o.GetAPIVersion(), "argoproj.io/") {
			bad = append(bad, o.Problem("render with the plugin beforehand, and name the directory of what comes of it", "is the definition of a plugin of Argo CD: plugins are not run"))
		}
	}
	if len(bad) > 0 && len(found) == 0 && path.Ext(name) != ".json" && !looksLikeManifest(data) {
		r.warn("%s: is left out: it is no manifest", name)
		return nil
	}
	for i := range bad {
		if strings.HasPrefix(bad[i].Message, "has no ") || strings.HasPrefix(bad[i].Message, "is no object") {
			bad[i].Hint = "if it is no manifest, name it under directory.exclude, or write the comment # " + skipMark + " into it"
		}
	}
	r.take(found, bad)
	return nil
}

// looksLikeManifest reports whether a file that cannot be read was meant to be. Argo CD passes over other YAML files,
// of which many a repository has some beside its manifests.
func looksLikeManifest(data []byte) bool {
	return !slices.ContainsFunc([]string{"apiVersion:", "kind:", "metadata:"}, func(field string) bool { return !bytes.Contains(data, []byte(field)) })
}

// utf8Text decodes a file that says that it is UTF-16, which Argo CD reads. Others, and those that are not what they
// say, come out as they are.
func utf8Text(data []byte) []byte {
	var order binary.ByteOrder
	switch {
	case len(data)%2 != 0:
		return data
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return data
	}
	units := make([]uint16, 0, len(data)/2)
	for at := 2; at < len(data); at += 2 {
		units = append(units, order.Uint16(data[at:]))
	}
	return []byte(string(utf16.Decode(units)))
}
