package applicationset

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"nave.dev/internal/dialect/argocd/templates"
	"nave.dev/internal/dialect/manifest"
	"nave.dev/internal/glob"
)

// maxFile is how large a file with parameters may be.
const maxFile = 1 << 20

// lookCost is what it takes of the budget to look at a path: a generator in a matrix
// does it again and again.
const lookCost = 5

// git reads a git generator.
func (s *set) git(g *gitGenerator, at string) ([]parameters, error) {
	if s.Files == nil {
		return nil, fmt.Errorf("%s: there are no repositories here to look into", at)
	}
	if len(g.Directories)+len(g.Files) == 0 {
		return nil, fmt.Errorf("%s: it names no directories and no files", at)
	}
	for _, item := range slices.Concat(g.Directories, g.Files) {
		if _, err := path.Match(item.Path, ""); err != nil {
			return nil, fmt.Errorf("%s: %q is no pattern of paths", at, item.Path)
		}
	}
	if at := (Repository{g.RepoURL, g.Revision}); !slices.Contains(s.repositories, at) {
		s.repositories = append(s.repositories, at)
	}
	files, err := s.Files.Open(g.RepoURL, g.Revision)
	if err != nil {
		return nil, fmt.Errorf("%s.repoURL: opening %s: %w", at, g.RepoURL, err)
	}
	if len(g.Directories) > 0 {
		return s.gitDirectories(g, files, at)
	}
	return s.gitFiles(g, files, at)
}

// gitDirectories makes a set of parameters of each directory that fits. Those whose
// names begin with a dot do not count.
func (s *set) gitDirectories(g *gitGenerator, files fs.FS, at string) ([]parameters, error) {
	var found []parameters
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err = cmp.Or(err, s.Budget.Spend(lookCost)); err != nil || !entry.IsDir() || name == "." {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if !chosen(g.Directories, name, matchPath) {
			return nil
		}
		p := s.pathParameters(g.PathParamPrefix, name, "")
		if err := s.values(g.Values, p, at); err != nil {
			return err
		}
		if found = append(found, p); len(found) > maxGenerated {
			return fmt.Errorf("%s.directories: more than %d fit", at, maxGenerated)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: reading %s: %w", at, g.RepoURL, err)
	}
	return found, nil
}

// gitFiles makes a set of parameters of each file that fits, or several of one that
// is a list.
func (s *set) gitFiles(g *gitGenerator, files fs.FS, at string) ([]parameters, error) {
	var found []parameters
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err = cmp.Or(err, s.Budget.Spend(lookCost)); err != nil || !entry.Type().IsRegular() || !chosen(g.Files, name, matchFile) {
			return err
		}
		if info, err := entry.Info(); err == nil && s.Budget.Spend(info.Size()/8) != nil {
			return s.Budget.Spend(0)
		}
		contents, err := readParameters(files, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, content := range contents {
			p := s.pathParameters(g.PathParamPrefix, path.Dir(name), path.Base(name))
			if s.Spec.GoTemplate {
				content, p = p, content
				for key, value := range content { // the path wins
					p[key] = value
				}
			} else {
				texts, err := s.flat(content)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				for key, text := range texts {
					if _, isPath := p[key]; !isPath {
						p[key] = text
					}
				}
			}
			if err := s.values(g.Values, p, at); err != nil {
				return err
			}
			if found = append(found, p); len(found) > maxGenerated {
				return fmt.Errorf("%s.files: more than %d fit", at, maxGenerated)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: reading %s: %w", at, g.RepoURL, err)
	}
	return found, nil
}

// chosen reports whether items choose a path, and none excludes it.
func chosen(items []gitItem, name string, match func(pattern, name string) bool) bool {
	in := false
	for _, item := range items {
		if match(item.Path, name) {
			if item.Exclude {
				return false
			}
			in = true
		}
	}
	return in
}

func matchPath(pattern, name string) bool {
	fits, err := path.Match(pattern, name)
	return err == nil && fits
}

// ofGit makes a glob of a pattern of Git's, to which braces mean themselves and "^" the same as "!".
var ofGit = strings.NewReplacer(`\\`, `\\`, `\{`, `\{`, `\}`, `\}`, "{", `\{`, "}", `\}`, "[^", "[!")

// matchFile matches as git ls-files does: "*" is a slash as well, and a directory
// is all that is in it.
func matchFile(pattern, name string) bool {
	pattern = strings.TrimPrefix(pattern, "./")
	return glob.Match(ofGit.Replace(pattern), name, glob.Whole) || strings.HasPrefix(name, strings.TrimSuffix(pattern, "/")+"/")
}

// readParameters reads a file of YAML or JSON: a mapping, or a list of them.
func readParameters(files fs.FS, name string) ([]map[string]any, error) {
	file, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("it has more than %d KiB", maxFile>>10)
	}
	one := map[string]any{}
	err = yaml.Unmarshal(data, &one)
	if err == nil {
		return []map[string]any{one}, nil
	}
	var several []map[string]any
	if yaml.Unmarshal(data, &several) != nil {
		return nil, fmt.Errorf("it is no mapping and no list of mappings%s", manifest.Reason(err))
	}
	for i := range several {
		if several[i] == nil {
			several[i] = map[string]any{}
		}
	}
	return several, nil
}

// pathParameters say where a directory, or the file in it, is.
func (s *set) pathParameters(prefix, directory, file string) parameters {
	segments := strings.Split(directory, "/")
	if s.Spec.GoTemplate {
		list := make([]any, len(segments))
		for i, segment := range segments {
			list[i] = segment
		}
		where := map[string]any{"path": directory, "basename": path.Base(directory), "basenameNormalized": templates.Normalize(path.Base(directory)), "segments": list}
		if file != "" {
			where["filename"], where["filenameNormalized"] = file, templates.Normalize(file)
		}
		if prefix != "" {
			return parameters{prefix: map[string]any{"path": where}}
		}
		return parameters{"path": where}
	}
	name := "path"
	if prefix != "" {
		name = prefix + ".path"
	}
	p := parameters{name: directory, name + ".basename": path.Base(directory), name + ".basenameNormalized": templates.Normalize(path.Base(directory))}
	if file != "" {
		p[name+".filename"], p[name+".filenameNormalized"] = file, templates.Normalize(file)
	}
	for i, segment := range segments {
		if segment != "" {
			p[name+"["+strconv.Itoa(i)+"]"] = segment
		}
	}
	return p
}
