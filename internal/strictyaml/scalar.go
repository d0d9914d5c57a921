package strictyaml

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Tags that the parser resolves plain scalars to.
const (
	nullTag      = "!!null"
	boolTag      = "!!bool"
	stringTag    = "!!str"
	intTag       = "!!int"
	floatTag     = "!!float"
	timestampTag = "!!timestamp"
	mergeTag     = "!!merge"
)

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == nullTag }

// isText tells whether n is a string. JSON has no timestamps, so those are strings as well.
func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.Tag == stringTag || n.Tag == timestampTag || n.Tag == mergeTag)
}

// oldBoolean tells whether n is a word that YAML 1.1 reads as a boolean and YAML 1.2 as text, and what it means there.
func oldBoolean(n *yaml.Node) (meaning, ok bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != stringTag || n.Style != 0 {
		return false, false
	}
	switch n.Value {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		return true, true
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}

// clip shortens text from the file to what fits a message.
func clip(text string) string { return clipTo(60, text) }

// clipTo cuts text after at most the given number of bytes.
func clipTo(most int, text string) string {
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// describe says what n is, for "want …, have …".
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case isText(n):
		return strconv.Quote(clip(n.Value))
	default:
		return clip(n.Value)
	}
}

// quoted is the hint to write n as text.
func quoted(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return ""
	}
	return "put it in quotes: " + strconv.Quote(clip(n.Value))
}

// wantText reports n unless it is text for every YAML parser.
func (d *decoder) wantText(n *yaml.Node, p *place) bool {
	_, old := oldBoolean(n)
	switch {
	case old:
		d.report(n, p, quoted(n), "want a string, have %s, which is a boolean for some YAML parsers", n.Value)
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0:
		d.wrong(n, p, "a string", "text that starts with { needs quotes")
	case !isText(n):
		d.wrong(n, p, "a string", quoted(n))
	default:
		return true
	}
	return false
}

func (d *decoder) bytes(n *yaml.Node, v reflect.Value, p *place) {
	if !isText(n) {
		d.wrong(n, p, "base64 text", quoted(n))
		return
	}
	data, err := base64.StdEncoding.DecodeString(n.Value)
	if err != nil {
		d.wrong(n, p, "base64 text", "encode it: base64 -w0")
		return
	}
	v.SetBytes(data)
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, p *place) {
	if n.Kind == yaml.ScalarNode && n.Tag == boolTag {
		v.SetBool(strings.EqualFold(n.Value, "true"))
		return
	}
	d.wrong(n, p, "true or false", booleanHint(n))
}

// booleanHint says how to turn n into a boolean where that is plain.
func booleanHint(n *yaml.Node) string {
	meaning, old := oldBoolean(n)
	switch {
	case old:
		return "write " + strconv.FormatBool(meaning)
	case isText(n) && (n.Value == "true" || n.Value == "false"):
		return "remove the quotes"
	}
	return ""
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, p *place) {
	number, ok := d.whole(n, p)
	if !ok {
		return
	}
	i, isSigned := number.(int64)
	u, isUnsigned := number.(uint64)
	if isSigned && i >= 0 {
		u, isUnsigned = uint64(i), true
	}
	unused := 64 - v.Type().Bits()
	switch {
	case v.CanInt() && isSigned && !v.OverflowInt(i):
		v.SetInt(i)
	case v.CanUint() && isUnsigned && !v.OverflowUint(u):
		v.SetUint(u)
	case v.CanInt():
		d.wrong(n, p, fmt.Sprintf("a number from %d to %d", int64(math.MinInt64)>>unused, int64(math.MaxInt64)>>unused), "")
	default:
		d.wrong(n, p, fmt.Sprintf("a number from 0 to %d", uint64(math.MaxUint64)>>unused), "")
	}
}

// whole returns the int64 or uint64 that n is, or reports that it is none.
func (d *decoder) whole(n *yaml.Node, p *place) (any, bool) {
	number, ok := d.number(n, p)
	if !ok || d.leadingZero(n, p) {
		return nil, false
	}
	if _, isFloat := number.(float64); isFloat {
		d.wrong(n, p, "a whole number", "")
		return nil, false
	}
	return number, true
}

var zeroAndMore = regexp.MustCompile(`^([-+]?)0[0_]*([0-9][0-9_]*)$`)

// leadingZero reports a number with a leading zero, which YAML 1.1 reads as octal and YAML 1.2 as decimal. In free
// forms it is accepted, as 1.1 reads it: file modes are written so there.
func (d *decoder) leadingZero(n *yaml.Node, p *place) bool {
	m := zeroAndMore.FindStringSubmatch(n.Value)
	if m == nil || isText(n) {
		return false
	}
	hint := "write " + clip(m[1]+m[2])
	if n.Tag == intTag {
		hint += ", or " + clip(m[1]+"0o"+m[2]) + " if octal is meant"
	}
	d.wrong(n, p, "a number without a leading zero", hint)
	return true
}

func (d *decoder) float(n *yaml.Node, v reflect.Value, p *place) {
	number, ok := d.number(n, p)
	if !ok || d.leadingZero(n, p) {
		return
	}
	float, _ := asFloat(number)
	if v.OverflowFloat(float) {
		d.wrong(n, p, "a number that fits in 32 bits", "")
		return
	}
	v.SetFloat(float)
}

// number returns the int64, uint64 or finite float64 that n is, or reports that it is none.
func (d *decoder) number(n *yaml.Node, p *place) (any, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != intTag && n.Tag != floatTag {
		d.wrong(n, p, "a number", numberHint(n))
		return nil, false
	}
	text := strings.ReplaceAll(n.Value, "_", "")
	if i, err := strconv.ParseInt(text, 0, 64); err == nil && n.Tag == intTag {
		return i, true
	}
	if u, err := strconv.ParseUint(text, 0, 64); err == nil && n.Tag == intTag {
		return u, true
	}
	// ParseFloat does not know how YAML writes infinities and not-a-number, which JSON has no numbers for either.
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || n.Tag == intTag {
		d.wrong(n, p, "a finite number", "")
		return nil, false
	}
	return f, true
}

// numberHint says how to turn n into a number where that is plain.
func numberHint(n *yaml.Node) string {
	if isText(n) && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		if bare := (&yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}).ShortTag(); bare == intTag || bare == floatTag {
			return "remove the quotes"
		}
	}
	return ""
}

// asFloat returns the int64, uint64 or float64 as a float64, and whether that keeps all its digits.
func asFloat(number any) (float64, bool) {
	if f, ok := number.(float64); ok {
		return f, true
	}
	digits := fmt.Sprint(number)
	f, err := strconv.ParseFloat(digits, 64)
	return f, err == nil && strconv.FormatFloat(f, 'f', 0, 64) == digits
}
