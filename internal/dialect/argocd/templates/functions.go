package templates

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

// meterName is what loops call. A template that calls it as well only pays.
const meterName = "nave_meter"

// absent are functions of sprig whose result is another one each time, or tells of
// the machine, or takes long.
var absent = map[string]string{
	"env": "the environment is not shown", "expandenv": "the environment is not shown", "getHostByName": "there is no network",
}

func init() {
	for _, name := range []string{
		"now", "ago", "date", "dateInZone", "date_in_zone", "htmlDate", "htmlDateInZone",
		"randBytes", "randAlpha", "randNumeric", "randAlphaNum", "randAscii", "randInt", "shuffle", "uuidv4",
		"bcrypt", "htpasswd", "genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey",
		"genSignedCert", "genSignedCertWithKey", "encryptAES",
	} {
		absent[name] = "its result is another one each time"
	}
	absent["derivePassword"] = "it takes long"
}

// bounded returns all functions, each of which takes from the Set's budget and
// refuses what is too large.
func (s *Set) bounded() template.FuncMap {
	all := sprig.GenericFuncMap()
	maps.Copy(all, map[string]any{
		"normalize": Normalize, "slugify": slugify,
		"toYaml": toYAML, "fromYaml": fromYAML, "fromYamlArray": fromYAMLArray,
		// Those of Go that make text, which would not be bounded otherwise.
		"print": fmt.Sprint, "println": fmt.Sprintln, "printf": printf,
		"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
	})
	out := template.FuncMap{meterName: func() (string, error) { return "", s.Spend(loopCost) }}
	for name, function := range all {
		if why, ok := absent[name]; ok {
			out[name] = func(...any) (any, error) { return nil, fmt.Errorf("%s is not there: %s", name, why) }
			continue
		}
		out[name] = s.bound(name, reflect.ValueOf(function))
	}
	return out
}

// bound wraps a function, keeping its type.
func (s *Set) bound(name string, function reflect.Value) any {
	kind := function.Type()
	results := []reflect.Type{kind.Out(0), reflect.TypeFor[error]()}
	parameters := make([]reflect.Type, kind.NumIn())
	for i := range parameters {
		parameters[i] = kind.In(i)
	}
	return reflect.MakeFunc(reflect.FuncOf(parameters, results, kind.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		refuse := func(err error) []reflect.Value {
			return []reflect.Value{reflect.Zero(kind.Out(0)), reflect.ValueOf(&err).Elem()}
		}
		given := arguments(args, kind.IsVariadic())
		if err := s.admit(name, given); err != nil {
			return refuse(err)
		}
		var out []reflect.Value
		if kind.IsVariadic() {
			out = function.CallSlice(args)
		} else {
			out = function.Call(args)
		}
		if len(out) == 2 && !out[1].IsNil() {
			return []reflect.Value{out[0], out[1]}
		}
		result := measure(out[0].Interface())
		if result.tooLarge() {
			return refuse(fmt.Errorf("%s: its result is too large", name))
		}
		if err := s.Spend(result.cost()); err != nil {
			return refuse(err)
		}
		return []reflect.Value{out[0], reflect.Zero(results[1])}
	}).Interface()
}

// arguments are the values of a call, those of a variadic parameter each.
func arguments(args []reflect.Value, variadic bool) []any {
	var out []any
	for i, arg := range args {
		if variadic && i == len(args)-1 {
			for j := range arg.Len() {
				out = append(out, arg.Index(j).Interface())
			}
			continue
		}
		out = append(out, arg.Interface())
	}
	return out
}

// admit takes a call's cost from the budget, or refuses it.
func (s *Set) admit(name string, args []any) error {
	total := size{}
	for _, arg := range args {
		total.add(measure(arg))
	}
	if total.tooLarge() {
		return fmt.Errorf("%s: it is given too much", name)
	}
	cost := total.cost()
	switch name {
	case "uniq", "mustUniq", "without", "mustWithout", "has", "mustHas": // each with each
		cost += total.nodes * total.nodes
	}
	if strings.Contains(strings.ToLower(name), "regex") && len(args) > 0 { // a repetition makes a long program of a short pattern
		pattern := fmt.Sprint(args[0])
		cost += total.bytes / 16 * int64(len(pattern)/16+64*strings.Count(pattern, "{")+1)
	}
	if err := s.Spend(cost); err != nil {
		return err
	}
	if grows(name, args) > maxText {
		return fmt.Errorf("%s: its result is too large", name)
	}
	switch name {
	case "set", "merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite":
		return noCycle(name, args)
	}
	return nil
}

// grows returns how large a result may become, of functions for which that is more
// than a few times of what they are given.
func grows(name string, args []any) int64 {
	number := func(i int) int64 {
		if i >= len(args) {
			return 0
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(args[i])), 64)
		if err != nil {
			return 0
		}
		return int64(min(max(n, -1<<40), 1<<40))
	}
	length := func(i int) int64 {
		if i >= len(args) {
			return 0
		}
		return measure(args[i]).bytes + measure(args[i]).nodes
	}
	switch name {
	case "until", "untilStep", "seq":
		var most int64
		for i := range args {
			most = max(most, number(i), -number(i))
		}
		return most * (maxText / maxNodes)
	case "printf": // which may name one argument many times
		var given int64
		for i := range args {
			given += length(i)
		}
		return int64(strings.Count(fmt.Sprint(args[0]), "%")) * (given + 999) / 4
	case "repeat":
		return max(number(0), 0) * max(length(1), 1)
	case "indent", "nindent":
		return max(number(0), 0) * int64(strings.Count(fmt.Sprint(args[len(args)-1]), "\n")+1)
	case "replace":
		return (length(2) + 1) * (length(1) + 1) / 16
	case "regexReplaceAll", "mustRegexReplaceAll", "regexReplaceAllLiteral", "mustRegexReplaceAllLiteral":
		// A replacement may have the whole of a match in it many times.
		return (length(1) + 1) * (length(2) + 1) / 16
	case "join":
		return length(0) * max(length(1), 1) / 16
	case "wrapWith":
		return (length(1) + 1) * (length(2) + 1) / 16
	case "toPrettyJson", "mustToPrettyJson":
		return length(0) * 64
	}
	return 0
}

// size is how large a value is.
type size struct{ nodes, bytes int64 }

func (s *size) add(other size) { s.nodes, s.bytes = s.nodes+other.nodes, s.bytes+other.bytes }
func (s size) tooLarge() bool  { return s.nodes > maxNodes || s.bytes > maxText }
func (s size) cost() int64     { return 10 + s.nodes + s.bytes/64 }

// measure counts what a value has in it, as a tree: what is in it twice counts
// twice. It stops where that is too much.
func measure(value any) size {
	var total size
	var walk func(v reflect.Value, depth int)
	walk = func(v reflect.Value, depth int) {
		if total.nodes++; total.tooLarge() || depth > 1000 {
			total.nodes = maxNodes + 1
			return
		}
		switch v.Kind() {
		case reflect.String:
			total.bytes += int64(v.Len())
		case reflect.Interface, reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem(), depth+1)
			}
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				total.bytes += int64(v.Len())
				return
			}
			for i := 0; i < v.Len() && !total.tooLarge(); i++ {
				walk(v.Index(i), depth+1)
			}
		case reflect.Map:
			for entries := v.MapRange(); entries.Next() && !total.tooLarge(); {
				walk(entries.Key(), depth+1)
				walk(entries.Value(), depth+1)
			}
		case reflect.Struct:
			total.bytes += 64 // a time or a URL, which functions return
		}
	}
	walk(reflect.ValueOf(value), 0)
	return total
}

// noCycle refuses to put a mapping into itself, or into one that is in it. What is
// changed is the first argument.
func noCycle(name string, args []any) error {
	if len(args) == 0 {
		return nil
	}
	changed := mappings(args[0])
	if name == "set" {
		changed = map[uintptr]bool{reflect.ValueOf(args[0]).Pointer(): true}
	}
	for _, arg := range args[1:] {
		for mapping := range mappings(arg) {
			if changed[mapping] {
				return fmt.Errorf("%s: a mapping cannot be put into itself", name)
			}
		}
	}
	return nil
}

// mappings are those that a value, whose size is known to be bounded, has in it.
func mappings(value any) map[uintptr]bool {
	found := map[uintptr]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface, reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() != reflect.Uint8 {
				for i := range v.Len() {
					walk(v.Index(i))
				}
			}
		case reflect.Map:
			if !v.IsNil() {
				found[v.Pointer()] = true
			}
			for entries := v.MapRange(); entries.Next(); {
				walk(entries.Value())
			}
		}
	}
	walk(reflect.ValueOf(value))
	return found
}

// wide matches a width or a precision that makes much of little, and one that is
// an argument.
var wide = regexp.MustCompile(`%[-+# 0-9.\[\]]*([0-9]{4}|\*)`)

func printf(format string, args ...any) (string, error) {
	if wide.MatchString(format) {
		return "", fmt.Errorf("a width or precision of 1000 and more, or one that is an argument, is not allowed")
	}
	return fmt.Sprintf(format, args...), nil
}

var notInName = regexp.MustCompile(`[^-a-z0-9.]`)

// Normalize makes a name of Kubernetes of a text: at most 253 lower-case letters,
// digits, "-" and ".", the first and last of them a letter or digit.
func Normalize(text string) string {
	text = notInName.ReplaceAllString(strings.ToLower(text), "-")
	return strings.Trim(text[:min(len(text), 253)], "-.")
}

var (
	notInSlug = regexp.MustCompile(`[^a-z0-9-_]`)
	dashes    = regexp.MustCompile(`-+`)
)

// slugify makes a short name of a text: [longest, 50 by default,] [whether it ends
// with a whole word, true by default,] text.
func slugify(args ...any) (string, error) {
	longest, whole := 50, true
	if len(args) == 0 || len(args) > 3 {
		return "", fmt.Errorf("slugify takes a length, whether to cut between words, and a text")
	}
	text, ok := args[len(args)-1].(string)
	if len(args) > 1 {
		var isNumber bool
		longest, isNumber = args[0].(int)
		ok = ok && isNumber
	}
	if len(args) > 2 {
		var isBool bool
		whole, isBool = args[1].(bool)
		ok = ok && isBool
	}
	if !ok {
		return "", fmt.Errorf("slugify takes a length, whether to cut between words, and a text")
	}
	text = strings.Trim(dashes.ReplaceAllString(notInSlug.ReplaceAllString(Normalize(text), "-"), "-"), "-_")
	if longest <= 0 || len(text) <= longest {
		return text, nil
	}
	if !whole {
		return text[:longest], nil
	}
	var out string
	for i, word := range strings.Split(text, "-") {
		switch {
		case i == 0 && len(word) > longest:
			return word[:longest], nil
		case i == 0:
			out = word
		case len(out)+1+len(word) > longest:
			return out, nil
		default:
			out += "-" + word
		}
	}
	return out, nil
}

func toYAML(value any) (string, error) {
	data, err := yaml.Marshal(value)
	return strings.TrimSuffix(string(data), "\n"), err
}

func fromYAML(text string) (map[string]any, error) {
	out := map[string]any{}
	err := yaml.Unmarshal([]byte(text), &out)
	return out, err
}

func fromYAMLArray(text string) ([]any, error) {
	out := []any{}
	err := yaml.Unmarshal([]byte(text), &out)
	return out, err
}

// Absent returns the functions of sprig that are not there, in order.
func Absent() []string { return slices.Sorted(maps.Keys(absent)) }
