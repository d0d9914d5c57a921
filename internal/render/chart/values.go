package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// given are the values of a release, as they are stated.
type given struct {
	values map[string]any // of files and of the options, merged
	// parameters win over values.
	parameters []app.Parameter
	files      []fileParameter
	text       []byte // all that was stated, to be searched
}

// noValues is the problem of a values file that is not there, with its path as the repository has it that it was to be in.
func (in Input) noValues(file string) error {
	if root := tree.RemoteRoot(file); root != "" && root != tree.RemoteRoot(in.Dir) {
		return manifest.Problem{File: in.Dir, Message: fmt.Sprintf("there is no values file %q in the repository of its $NAME", strings.TrimPrefix(file, root+"/")),
			Hint: "a path of valueFiles after $NAME/ is relative to the top of the repository that the source with the ref NAME has"}
	}
	return manifest.Problem{File: in.Dir, Message: fmt.Sprintf("there is no values file %q", file),
		Hint: "a path of valueFiles is relative to the chart, or begins with a slash and is relative to the repository"}
}

// readValues merges the values files, in their order, and then the values that are given directly; what comes later
// wins.
func readValues(t tree.Tree, in Input) (*given, error) {
	values, text, err := readFiles(t, in)
	if err != nil {
		return nil, err
	}
	direct, data, err := asHelm(in.Options.Values)
	if err != nil {
		return nil, err
	}
	g := &given{values: loader.MergeMaps(values, direct), parameters: in.Options.Parameters, text: append(text, data...)}
	for _, p := range in.Options.Parameters {
		g.text = append(g.text, p.Value...)
	}
	return g, g.readFiles(t, in)
}

// readFiles merges the values files, in their order, and returns their texts as well.
func readFiles(t tree.Tree, in Input) (values map[string]any, text []byte, err error) {
	values = map[string]any{}
	names, err := in.valueFiles(t)
	if err != nil {
		return nil, nil, err
	}
	for _, file := range names {
		data, err := t.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			if in.Options.IgnoreMissingValueFiles {
				continue
			}
			return nil, nil, in.noValues(file)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading values file %q: %w", file, err)
		}
		read, err := loadValues(file, data)
		if err != nil {
			return nil, nil, err
		}
		values = loader.MergeMaps(values, read)
		text = append(text, data...)
	}
	return values, text, nil
}

// loadValues reads a values file.
func loadValues(file string, data []byte) (map[string]any, error) {
	if object.EncryptedFile(string(data)) {
		return nil, encrypted(file)
	}
	values, err := loader.LoadValues(bytes.NewReader(data))
	if err != nil {
		return nil, invalid(file, data, err)
	}
	return values, nil
}

func encrypted(file string) error {
	return manifest.Problem{File: file, Line: 1, Message: "is encrypted with SOPS, and a chart is rendered where there is no key",
		Hint: "write what is secret as an encrypted Secret, and give the chart its name"}
}

// invalid locates what is wrong with a file of YAML that Helm cannot read.
func invalid(file string, data []byte, err error) error {
	_, problems := new(manifest.Decoder).Decode(file, data)
	for _, p := range problems {
		if strings.Contains(p.Message, "is not valid YAML") || strings.Contains(p.Message, "is not UTF-8") {
			return p
		}
	}
	return manifest.Problem{File: file, Line: 1, Message: "cannot be read as what its name says: " + err.Error()}
}

// asHelm returns values with the types that Helm gives to what it reads from a file, so that a number prints the same
// wherever it is stated.
func asHelm(values map[string]any) (map[string]any, []byte, error) {
	data, err := json.Marshal(values)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding Helm values: %w", err)
	}
	var plain map[string]any
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, nil, fmt.Errorf("decoding Helm values: %w", err)
	}
	return plain, data, nil
}

// noLoader keeps a schema from reading files and URLs, which the validator otherwise would.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not read: a schema may refer only to itself", url)
}

// conform holds the values that the templates get against the schemas, unless the options pass over these.
func (l *loaded) conform(options app.HelmOptions, values any) error {
	if options.SkipSchemaValidation {
		return nil
	}
	switch values := values.(type) {
	case common.Values:
		return l.validate(l.Chart, "", values.AsMap()).Err()
	case map[string]any:
		return l.validate(l.Chart, "", values).Err()
	}
	return nil
}

// validate holds values against the schemas of a chart and of its dependencies.
func (l *loaded) validate(c *chart.Chart, prefix string, values map[string]any) manifest.Problems {
	var problems manifest.Problems
	file := l.place(prefix + "values.schema.json")
	if c.Schema != nil {
		for _, message := range holdAgainst(c.Schema, values) {
			problems = append(problems, manifest.Problem{File: file, Message: message})
		}
	}
	for _, dependency := range c.Dependencies() {
		if below, ok := values[dependency.Name()].(map[string]any); ok {
			problems = append(problems, l.validate(dependency, prefix+"charts/"+dependency.Name()+"/", below)...)
		}
	}
	return problems
}

// holdAgainst says what of the values a schema does not allow.
func holdAgainst(schema []byte, values map[string]any) []string {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return []string{"is not valid JSON: " + err.Error()}
	}
	const name = "nave:values.schema.json"
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(name, doc); err != nil {
		return []string{"is no schema: " + err.Error()}
	}
	compiled, err := compiler.Compile(name)
	if err != nil {
		return []string{"is no schema: " + err.Error()}
	}
	data, err := json.Marshal(values)
	if err != nil {
		return []string{"values cannot be encoded: " + err.Error()}
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return []string{"values cannot be decoded: " + err.Error()}
	}
	err = compiled.Validate(instance)
	if err == nil {
		return nil
	}
	var messages []string
	for line := range strings.Lines(err.Error()) {
		if at, ok := strings.CutPrefix(strings.TrimSpace(line), "- at "); ok {
			messages = append(messages, "values at "+strings.Replace(at, "''", "the top", 1))
		}
	}
	if len(messages) == 0 {
		messages = append(messages, err.Error())
	}
	return messages
}
