package chartsource

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// What of an index is understood at once, in bytes: a large one is taken apart by its lines, since the values of its
// YAML take many times the memory of its text.
const (
	wholeIndex = 1 << 20
	wholeEntry = 1 << 20
)

// entry is one version of a chart in an index.
type entry struct {
	Version string   `yaml:"version" json:"version"`
	Digest  string   `yaml:"digest" json:"digest"`
	URLs    []string `yaml:"urls" json:"urls"`
}

// entries gathers the releases of the charts that are wanted.
type entries struct {
	wanted map[string]bool
	charts map[string][]release
	there  bool // the index has a list of charts
}

// add adds a version. One that cannot be used is left out: it is one of thousands, and others are not to wait for its
// repair.
func (e *entries) add(chart string, v entry) {
	hex, err := digits(v.Digest)
	if err == nil && v.Version != "" && len(v.URLs) > 0 && v.URLs[0] != "" && e.wanted[chart] {
		e.charts[chart] = append(e.charts[chart], release{Version: v.Version, Digest: hex, Location: v.URLs[0]})
	}
}

var errNoEntries = errors.New("it has no entries, so it is no index of a chart repository")

// readIndex reads of an index.yaml the releases of wanted charts, each in the order of the index.
func readIndex(in io.Reader, wanted map[string]bool) (map[string][]release, error) {
	e := &entries{wanted: wanted, charts: map[string][]release{}}
	text := bufio.NewReader(in)
	first, err := io.ReadAll(io.LimitReader(text, wholeIndex))
	if err != nil {
		return nil, err
	}
	switch _, more := text.Peek(1); {
	case more == io.EOF:
		err = e.whole(first)
	case more != nil:
		return nil, more
	case bytes.HasPrefix(bytes.TrimSpace(first), []byte("{")):
		err = e.json(io.MultiReader(bytes.NewReader(first), text))
	default:
		err = e.lines(bufio.NewReader(io.MultiReader(bytes.NewReader(first), text)))
	}
	if err == nil && !e.there {
		err = errNoEntries
	}
	return e.charts, err
}

// whole reads an index at once.
func (e *entries) whole(data []byte) error {
	var document struct {
		Entries map[string][]entry `yaml:"entries"`
	}
	if err := yaml.Unmarshal(data, &document); err != nil {
		if mistyped := (*yaml.TypeError)(nil); !errors.As(err, &mistyped) {
			return err
		}
	}
	e.there = document.Entries != nil
	for name, versions := range document.Entries {
		for _, v := range versions {
			e.add(name, v)
		}
	}
	return nil
}

// json reads an index that is JSON, value by value.
func (e *entries) json(in io.Reader) error {
	decoder := json.NewDecoder(in)
	return members(decoder, func(key string) error {
		if key != "entries" {
			return skip(decoder)
		}
		e.there = true
		return members(decoder, func(chart string) error {
			if !e.wanted[chart] {
				return skip(decoder)
			}
			if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
				return errors.Join(err, errors.New("the versions of a chart are no list"))
			}
			for decoder.More() {
				var v entry
				if err := decoder.Decode(&v); err != nil {
					if mistyped := (*json.UnmarshalTypeError)(nil); !errors.As(err, &mistyped) {
						return err
					}
					continue
				}
				e.add(chart, v)
			}
			_, err := decoder.Token()
			return err
		})
	})
}

// members calls each for the keys of an object, to read their values.
func members(decoder *json.Decoder, each func(key string) error) error {
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return errors.Join(err, errors.New("it is no object"))
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if err := each(name); err != nil {
			return err
		}
	}
	_, err := decoder.Token()
	return err
}

// skip passes over one value.
func skip(decoder *json.Decoder) error {
	for depth := 0; ; {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// lines reads an index that is written as Helm writes it: a line for each chart below "entries:", and a list of its
// versions below that. Each version is a document of its own.
func (e *entries) lines(in *bufio.Reader) error {
	var (
		within  bool         // entries
		indent  = -1         // of the lines with the names of charts
		chart   string       // the one that is being read
		version bytes.Buffer // of it
	)
	end := func() {
		if version.Len() > 0 && version.Len() <= wholeEntry {
			var one []entry
			if yaml.Unmarshal(version.Bytes(), &one) == nil && len(one) == 1 {
				e.add(chart, one[0])
			}
		}
		version.Reset()
	}
	for {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		text := strings.TrimRight(string(line), " \r\n")
		trimmed := strings.TrimLeft(text, " ")
		column := len(text) - len(trimmed)
		item := trimmed == "-" || strings.HasPrefix(trimmed, "- ")
		switch {
		case trimmed == "" || trimmed[0] == '#': // in a text of several lines it means nothing here
		case column == 0 && !(within && item):
			end()
			if within = trimmed == "entries:"; within {
				e.there, indent, chart = true, -1, ""
			} else if strings.HasPrefix(trimmed, "entries:") {
				return fmt.Errorf("it has more than %d bytes, and does not begin a line for each chart", wholeIndex)
			}
		case !within:
		case !item && (indent < 0 || column <= indent):
			end()
			indent, chart = column, nameOf(trimmed)
		case e.wanted[chart]:
			if item && column <= firstColumn(version.Bytes(), column) {
				end()
			}
			if version.Len() <= wholeEntry {
				version.Write(line)
			}
		}
		if err == io.EOF {
			end()
			return nil
		}
	}
}

// firstColumn is where the text of a version begins, or else where one would.
func firstColumn(version []byte, otherwise int) int {
	if len(version) == 0 {
		return otherwise
	}
	return len(version) - len(bytes.TrimLeft(version, " "))
}

// nameOf is the key that a line holds alone; empty if it holds more, or something else.
func nameOf(line string) string {
	var key map[string]any
	if err := yaml.Unmarshal([]byte(line), &key); err != nil || len(key) != 1 {
		return ""
	}
	for name, value := range key {
		if value == nil {
			return name
		}
	}
	return ""
}
