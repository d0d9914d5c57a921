package strictyaml

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// fleet has a field of every kind of type that the kinds of a fleet repository use.
type fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              fleetSpec `json:"spec"`
}

type fleetSpec struct {
	Clusters []cluster  `json:"clusters,omitempty"`
	Version  string     `json:"version,omitempty"`
	Suspend  bool       `json:"suspend,omitempty"`
	Numbers  numbersOf  `json:"numbers,omitempty"`
	Custom   customs    `json:"custom,omitempty"`
	Free     freeForms  `json:"free,omitempty"`
	Inner    *fleetSpec `json:"inner,omitempty"`
	Hidden   string     `json:"-"`
	hidden   string
}

type cluster struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
	NodePools []nodePool        `json:"nodePools,omitempty"`
}

type nodePool struct {
	Count  *int32            `json:"count"`
	CPU    resource.Quantity `json:"cpu"`
	Memory resource.Quantity `json:"memory"`
	Spot   bool              `json:"spot,omitempty"`
}

type numbersOf struct {
	Tiny   int8             `json:"tiny,omitempty"`
	Whole  int64            `json:"whole,omitempty"`
	Port   uint16           `json:"port,omitempty"`
	Large  uint64           `json:"large,omitempty"`
	Weight float64          `json:"weight,omitempty"`
	Small  float32          `json:"small,omitempty"`
	Pair   [2]int           `json:"pair,omitempty"`
	ByID   map[int]string   `json:"byID,omitempty"`
	Ptrs   []*int           `json:"ptrs,omitempty"`
	Zones  map[string]zone  `json:"zones,omitempty"`
	Spare  map[string]*zone `json:"spare,omitempty"`
	None   struct{}         `json:"none,omitzero"`
}

type zone struct {
	Weight int `json:"weight,omitempty"`
}

type customs struct {
	Limits  map[string]resource.Quantity `json:"limits,omitempty"`
	Soak    *metav1.Duration             `json:"soak,omitempty"`
	Expires *metav1.Time                 `json:"expires,omitempty"`
	At      metav1.MicroTime             `json:"at,omitempty"`
	When    time.Time                    `json:"when,omitzero"`
	Target  intstr.IntOrString           `json:"target,omitempty"`
	Address netip.Addr                   `json:"address,omitempty"`
	ByAddr  map[netip.Addr]string        `json:"byAddr,omitempty"`
	Pair    commaPair                    `json:"pair,omitempty"`
	Flag    flag                         `json:"flag,omitempty"`
	Tags    tags                         `json:"tags,omitempty"`
	Owner   owner                        `json:"owner,omitempty"`
	Data    []byte                       `json:"data,omitempty"`
	Hook    func()                       `json:"hook,omitempty"`
	Errs    error                        `json:"errs,omitempty"`
}

type freeForms struct {
	Values map[string]any        `json:"values,omitempty"`
	Any    any                   `json:"any,omitempty"`
	Raw    json.RawMessage       `json:"raw,omitempty"`
	Items  []any                 `json:"items,omitempty"`
	Named  map[string]schemaless `json:"named,omitempty"`
}

// schemaless keeps any JSON, as the type for that in the API of custom resource definitions does.
type schemaless struct{ Raw []byte }

func (s *schemaless) UnmarshalJSON(data []byte) error {
	s.Raw = append([]byte(nil), data...)
	return nil
}

func (schemaless) OpenAPISchemaType() []string { return nil }

// commaPair is decoded from text such as a,b; its error names no type and has two lines.
type commaPair struct{ left, right string }

func (p *commaPair) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	var found bool
	if p.left, p.right, found = strings.Cut(text, ","); !found {
		return fmt.Errorf("no comma\nin %q", text)
	}
	return nil
}

func (p commaPair) Equal(other commaPair) bool { return p == other }

// flag, tags and owner decode into a plain type first, each into another kind.
type flag bool

func (f *flag) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*bool)(f)) }

type tags []string

func (t *tags) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*[]string)(t)) }

type owner struct {
	Team string `json:"team"`
}

func (o *owner) UnmarshalJSON(data []byte) error {
	type plain owner
	return json.Unmarshal(data, (*plain)(o))
}

func TestDecodeProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		in     string
		want   string
	}{
		"AllAtOnce": {
			reason: "problems anywhere in the file are reported together, sorted, each at its own place",
			in: `apiVersion: nave.dev/v1alpha1
kind: Fleet
spec:
  clusters:
  - name: prod-us-1
    Labels: {env: prod}
    nodePools:
    - count: four
      cpu: 4 gigs
      mem: 4Gi
      memory: 4Gi
  - name: 7
  suspend: "true"
`,
			want: `f.yaml:6:5: spec.clusters[0].Labels: unknown field "Labels"
  hint: did you mean "labels"?
f.yaml:8:14: spec.clusters[0].nodePools[0].count: want a number, have "four"
f.yaml:9:12: spec.clusters[0].nodePools[0].cpu: want a quantity, have "4 gigs"
  hint: a number and perhaps a unit, such as 500m, 2 or 4Gi
f.yaml:10:7: spec.clusters[0].nodePools[0].mem: unknown field "mem"
  hint: did you mean "memory"?
f.yaml:12:11: spec.clusters[1].name: want a string, have 7
  hint: put it in quotes: "7"
f.yaml:13:12: spec.suspend: want true or false, have "true"
  hint: remove the quotes`,
		},
		"UnknownFields": {
			reason: "the hint is the same name on another level, a similar name, or else the list",
			in: `clusters: []
metadta: {}
zone: x
spec:
  kind: Fleet
  clusters:
  - {node_pools: [], version: x, nmae: a, "": b, "app.kubernetes.io/name": c}
  numbers: {}
  hidden: x
  Hidden: x
  "-": x
  free:
    suspend: true
  inner: {numbers: {none: {a: 1}}}
`,
			want: `f.yaml:1:1: clusters: unknown field "clusters"
  hint: "clusters" belongs under "spec"
f.yaml:2:1: metadta: unknown field "metadta"
  hint: did you mean "metadata"?
f.yaml:3:1: zone: unknown field "zone"
  hint: known fields: apiVersion, kind, metadata, spec
f.yaml:5:3: spec.kind: unknown field "kind"
  hint: "kind" is a field at the top of the document: check the indentation
f.yaml:7:6: spec.clusters[0].node_pools: unknown field "node_pools"
  hint: did you mean "nodePools"?
f.yaml:7:22: spec.clusters[0].version: unknown field "version"
  hint: "version" is a field of spec: check the indentation
f.yaml:7:34: spec.clusters[0].nmae: unknown field "nmae"
  hint: did you mean "name"?
f.yaml:7:43: spec.clusters[0][""]: unknown field ""
  hint: known fields: labels, name, nodePools
f.yaml:7:50: spec.clusters[0]["app.kubernetes.io/name"]: unknown field "app.kubernetes.io/name"
  hint: known fields: labels, name, nodePools
f.yaml:9:3: spec.hidden: unknown field "hidden"
  hint: known fields: clusters, custom, free, inner, numbers, suspend, version
f.yaml:10:3: spec.Hidden: unknown field "Hidden"
  hint: known fields: clusters, custom, free, inner, numbers, suspend, version
f.yaml:11:3: spec["-"]: unknown field "-"
  hint: known fields: clusters, custom, free, inner, numbers, suspend, version
f.yaml:13:5: spec.free.suspend: unknown field "suspend"
  hint: "suspend" is a field of spec: check the indentation
f.yaml:14:28: spec.inner.numbers.none.a: unknown field "a"
  hint: no fields are known here`,
		},
		"DuplicateKeys": {
			reason: "the first one counts, in structs, maps and free forms",
			in: `kind: Fleet
metadata:
  labels: {a: x, a: y}
kind: Fleet
spec:
  free:
    values:
      a: 1
      "a": 2
    raw: {b: 1, c: {d: 1, d: 2}}
`,
			want: `f.yaml:3:18: metadata.labels.a: key "a" is already set at line 3
f.yaml:4:1: kind: key "kind" is already set at line 1
f.yaml:9:7: spec.free.values.a: key "a" is already set at line 8
f.yaml:10:27: spec.free.raw.c.d: key "d" is already set at line 10`,
		},
		"Text": {
			reason: "nothing is turned into text silently, least of all what YAML versions disagree on",
			in: `kind: {{ .kind }}
apiVersion: [a]
metadata:
  name: 1.10
  namespace: no
  labels: {a: , b: 1, c: true, d: y, e: "y", f: 2026-01-31, g: 1e3}
  annotations: {on: x, 8080: x, 010: x, 1.10: x, ~: x, "on": x, {a: b}: x}
`,
			want: `f.yaml:1:7: kind: want a string, have a mapping
  hint: text that starts with { needs quotes
f.yaml:2:13: apiVersion: want a string, have a list
f.yaml:4:9: metadata.name: want a string, have 1.10
  hint: put it in quotes: "1.10"
f.yaml:5:14: metadata.namespace: want a string, have no, which is a boolean for some YAML parsers
  hint: put it in quotes: "no"
f.yaml:6:12: metadata.labels.a: has no value
  hint: write "" for empty text
f.yaml:6:20: metadata.labels.b: want a string, have 1
  hint: put it in quotes: "1"
f.yaml:6:26: metadata.labels.c: want a string, have true
  hint: put it in quotes: "true"
f.yaml:6:35: metadata.labels.d: want a string, have y, which is a boolean for some YAML parsers
  hint: put it in quotes: "y"
f.yaml:6:64: metadata.labels.g: want a string, have 1e3
  hint: put it in quotes: "1e3"
f.yaml:7:17: metadata.annotations.on: want text as a key, have on
  hint: put it in quotes: "on"
f.yaml:7:33: metadata.annotations["010"]: want text as a key, have 010
  hint: put it in quotes: "010"
f.yaml:7:41: metadata.annotations["1.10"]: want text as a key, have 1.10
  hint: put it in quotes: "1.10"
f.yaml:7:50: metadata.annotations: want text as a key, have nothing
f.yaml:7:56: metadata.annotations.on: key "on" is already set at line 7
f.yaml:7:65: metadata.annotations: want text as a key, have a mapping
  hint: text that starts with { or [ needs quotes`,
		},
		"Numbers": {
			reason: "ranges are those of the Go type, and a leading zero is ambiguous",
			in: `spec:
  suspend: yes
  numbers:
    tiny: -129
    whole: 1.5
    port: 65536
    large: -1
    weight: "5"
    small: 1e300
    pair: [1]
    byID: {1: a, x: b}
    ptrs: [1, ~]
    zones: {a: , b: {weight: ten}}
  inner:
    suspend: off
    numbers: {tiny: 0644, whole: 08, port: 0o17, large: 18446744073709551616, weight: .inf, pair: 1}
    inner:
      numbers: {tiny: four, whole: '0x1F', port: [1], large: true, weight: 1_000, small: .nan, pair: [1, b]}
`,
			want: `f.yaml:2:12: spec.suspend: want true or false, have "yes"
  hint: write true
f.yaml:4:11: spec.numbers.tiny: want a number from -128 to 127, have -129
f.yaml:5:12: spec.numbers.whole: want a whole number, have 1.5
f.yaml:6:11: spec.numbers.port: want a number from 0 to 65535, have 65536
f.yaml:7:12: spec.numbers.large: want a number from 0 to 18446744073709551615, have -1
f.yaml:8:13: spec.numbers.weight: want a number, have "5"
  hint: remove the quotes
f.yaml:9:12: spec.numbers.small: want a number that fits in 32 bits, have 1e300
f.yaml:10:11: spec.numbers.pair: want a list of 2 items, have 1
f.yaml:11:18: spec.numbers.byID.x: want a number, have "x"
f.yaml:12:15: spec.numbers.ptrs[1]: has no value
  hint: remove it, or give it a value
f.yaml:13:13: spec.numbers.zones.a: has no value
  hint: remove it, or give it a value
f.yaml:13:30: spec.numbers.zones.b.weight: want a number, have "ten"
f.yaml:15:14: spec.inner.suspend: want true or false, have "off"
  hint: write false
f.yaml:16:21: spec.inner.numbers.tiny: want a number without a leading zero, have 0644
  hint: write 644, or 0o644 if octal is meant
f.yaml:16:34: spec.inner.numbers.whole: want a number without a leading zero, have 08
  hint: write 8
f.yaml:16:57: spec.inner.numbers.large: want a whole number, have 18446744073709551616
f.yaml:16:87: spec.inner.numbers.weight: want a finite number, have .inf
f.yaml:16:99: spec.inner.numbers.pair: want a list, have 1
  hint: start each item with "- "
f.yaml:18:23: spec.inner.inner.numbers.tiny: want a number, have "four"
f.yaml:18:36: spec.inner.inner.numbers.whole: want a number, have "0x1F"
  hint: remove the quotes
f.yaml:18:50: spec.inner.inner.numbers.port: want a number, have a list
f.yaml:18:62: spec.inner.inner.numbers.large: want a number, have true
f.yaml:18:90: spec.inner.inner.numbers.small: want a finite number, have .nan
f.yaml:18:106: spec.inner.inner.numbers.pair[1]: want a number, have "b"`,
		},
		"Structure": {
			reason: "a scalar where fields or items belong, and items that are only a hyphen",
			in: `metadata: name:x
spec:
  clusters:
  -
  - labels: prod
    nodePools:
      count: 3
  free: []
  numbers: x: y
`,
			want: `f.yaml:9:13: ":" is not allowed here
  hint: text that holds ": " needs quotes, and keys of one mapping start in the same column`,
		},
		"StructureOnce": {
			reason: "as above, once the syntax is right",
			in: `metadata: name:x
spec:
  clusters:
  -
  - labels: prod
    nodePools:
      count: 3
  free: []
  numbers:
`,
			want: `f.yaml:1:11: metadata: want a mapping, have "name:x"
  hint: put a space after the colon: name: …
f.yaml:4:4: spec.clusters[0]: has no value
  hint: remove it, or give it a value
f.yaml:5:13: spec.clusters[1].labels: want a mapping, have "prod"
f.yaml:6:5: spec.clusters[1].nodePools: want a list, have a mapping
  hint: start each item with "- "
f.yaml:8:9: spec.free: want a mapping, have a list`,
		},
		"Custom": {
			reason: "a type that decodes itself is reported where its value stands, in words",
			in: `spec:
  custom:
    limits: {cpu: , memory: {}, disk: yes, gpu: 1e3Gi}
    soak: 10
    expires: 2026-01-31
    at: now
    when: 5
    target: 1.5
    address: 300.1.1.1
    byAddr: {10.0.0.1: x, ten: y, 10: z}
    pair: a
    flag: "true"
    tags: a
    owner: platform
    data: "%"
    hook: x
    errs: x
  inner:
    custom: {pair: 1.10, address: 10, target: on, data: 5, soak: !!str 5m, tags: [a, 1], owner: {team: [a]}}
    inner: {custom: {pair: , target: 0100, limits: {cpu: 010}}, numbers: {weight: -010}}
`,
			want: `f.yaml:3:14: spec.custom.limits.cpu: has no value
  hint: remove it, or give it a value
f.yaml:3:29: spec.custom.limits.memory: want a quantity, have a mapping
  hint: a number and perhaps a unit, such as 500m, 2 or 4Gi
f.yaml:3:39: spec.custom.limits.disk: want a quantity, have "yes"
  hint: a number and perhaps a unit, such as 500m, 2 or 4Gi
f.yaml:3:49: spec.custom.limits.gpu: want a quantity, have "1e3Gi"
  hint: a number and perhaps a unit, such as 500m, 2 or 4Gi
f.yaml:4:11: spec.custom.soak: want a duration, have 10
  hint: numbers with units, such as 30s, 15m or 1h30m
f.yaml:5:14: spec.custom.expires: want a time, have "2026-01-31"
  hint: as in RFC 3339, such as 2026-01-31T15:04:05Z
f.yaml:6:9: spec.custom.at: want a time with microseconds, have "now"
  hint: as in RFC 3339, such as 2026-01-31T15:04:05.000000Z
f.yaml:7:11: spec.custom.when: want a time, have 5
  hint: as in RFC 3339, such as 2026-01-31T15:04:05Z
f.yaml:8:13: spec.custom.target: want a whole number, have 1.5
f.yaml:9:14: spec.custom.address: ParseAddr("300.1.1.1"): IPv4 field has value >255
f.yaml:10:27: spec.custom.byAddr.ten: ParseAddr("ten"): unable to parse IP
f.yaml:10:35: spec.custom.byAddr["10"]: want a string, have 10
  hint: put it in quotes: "10"
f.yaml:11:11: spec.custom.pair: no comma in "a"
f.yaml:12:11: spec.custom.flag: want true or false, have "true"
  hint: remove the quotes
f.yaml:13:11: spec.custom.tags: want a list, have "a"
  hint: start each item with "- "
f.yaml:14:12: spec.custom.owner: want a mapping, have "platform"
f.yaml:15:11: spec.custom.data: want base64 text, have "%"
  hint: encode it: base64 -w0
f.yaml:16:11: spec.custom.hook: cannot be set from a file (its type is func())
f.yaml:17:11: spec.custom.errs: cannot be set from a file (its type is error)
f.yaml:19:20: spec.inner.custom.pair: want a string, have 1.10
  hint: put it in quotes: "1.10"
f.yaml:19:35: spec.inner.custom.address: want a string, have 10
  hint: put it in quotes: "10"
f.yaml:19:47: spec.inner.custom.target: on without quotes is a boolean for some YAML parsers and text for others
  hint: write true, or put it in quotes: "on"
f.yaml:19:57: spec.inner.custom.data: want base64 text, have 5
  hint: put it in quotes: "5"
f.yaml:19:82: spec.inner.custom.tags: cannot unmarshal number into Go value of type string
f.yaml:19:97: spec.inner.custom.owner: cannot unmarshal array into Go struct field plain.team of type string
f.yaml:20:22: spec.inner.inner.custom.pair: no comma in ""
f.yaml:20:38: spec.inner.inner.custom.target: want a number without a leading zero, have 0100
  hint: write 100, or 0o100 if octal is meant
f.yaml:20:58: spec.inner.inner.custom.limits.cpu: want a number without a leading zero, have 010
  hint: write 10, or 0o10 if octal is meant
f.yaml:20:83: spec.inner.inner.numbers.weight: want a number without a leading zero, have -010
  hint: write -10, or -0o10 if octal is meant`,
		},
		"FreeForm": {
			reason: "where no type says what is wanted, only what parsers disagree on is refused",
			in: `spec:
  free:
    values: {a: on, b: [1.5, 9007199254740993, .nan], c: !!binary aGk=, 1.10: 3, no: 4}
    any: 9007199254740993
    raw: {big: 9007199254740993, a: [yes]}
    items: [y, !x {}]
    named: {a: , b: {c: n}}
`,
			want: `f.yaml:3:17: spec.free.values.a: on without quotes is a boolean for some YAML parsers and text for others
  hint: write true, or put it in quotes: "on"
f.yaml:3:30: spec.free.values.b[1]: 9007199254740993 has more digits than a number can keep here
  hint: put it in quotes: "9007199254740993"
f.yaml:3:48: spec.free.values.b[2]: want a finite number, have .nan
f.yaml:3:58: spec.free.values.c: tag "!!binary" is not supported
  hint: remove the tag
f.yaml:3:73: spec.free.values["1.10"]: want text as a key, have 1.10
  hint: put it in quotes: "1.10"
f.yaml:3:82: spec.free.values.no: want text as a key, have no
  hint: put it in quotes: "no"
f.yaml:4:10: spec.free.any: 9007199254740993 has more digits than a number can keep here
  hint: put it in quotes: "9007199254740993"
f.yaml:5:38: spec.free.raw.a[0]: yes without quotes is a boolean for some YAML parsers and text for others
  hint: write true, or put it in quotes: "yes"
f.yaml:6:13: spec.free.items[0]: y without quotes is a boolean for some YAML parsers and text for others
  hint: write true, or put it in quotes: "y"
f.yaml:6:16: spec.free.items[1]: tag "!x" is not supported
  hint: remove the tag
f.yaml:7:25: spec.free.named.b.c: n without quotes is a boolean for some YAML parsers and text for others
  hint: write false, or put it in quotes: "n"`,
		},
		"Tags": {
			reason: "of tags only the one that makes text of a scalar is of use",
			in: `kind: !!str 5
!!binary apiVersion: x
spec: !!map
  version: !!float 5
  clusters: !!set {a}
  suspend: !!str yes
`,
			want: `f.yaml:2:1: apiVersion: tag "!!binary" is not supported
  hint: remove the tag
f.yaml:3:1: spec: tag "!!map" is not supported
  hint: remove the tag`,
		},
		"Anchors": {
			reason: "what an anchor holds is reported once, where it stands; an alias and a merge where they stand",
			in: `spec:
  clusters:
  - &a
    name: a
    bad: x
  - *a
  - <<: *a
    name: b
    <<: *a
  - <<: [*a, 3]
  - <<:
  version: &v 1
  suspend: *v
`,
			want: `f.yaml:5:5: spec.clusters[0].bad: unknown field "bad"
  hint: known fields: labels, name, nodePools
f.yaml:9:5: spec.clusters[2]["<<"]: key "<<" is already set at line 7
f.yaml:10:14: spec.clusters[3]: want a mapping to merge, have 3
f.yaml:11:8: spec.clusters[4]: want a mapping to merge, have nothing
f.yaml:12:12: spec.version: want a string, have 1
  hint: put it in quotes: "1"
f.yaml:13:12: spec.suspend: want true or false, have 1`,
		},
		"LongText": {
			reason: "a message quotes the beginning of what it is about",
			in:     "kind: [a]\nx" + strings.Repeat("é", 50) + ": x\nspec: {version: {}, suspend: " + strings.Repeat("x", 100) + "}\n",
			want: `f.yaml:1:7: kind: want a string, have a list
f.yaml:2:1: ["x` + strings.Repeat("é", 50) + `"]: unknown field "x` + strings.Repeat("é", 29) + `…"
  hint: known fields: apiVersion, kind, metadata, spec
f.yaml:3:17: spec.version: want a string, have a mapping
  hint: text that starts with { needs quotes
f.yaml:3:30: spec.suspend: want true or false, have "` + strings.Repeat("x", 60) + `…"`,
		},
		"Root": {
			reason: "a document that is no mapping has no field to name",
			in:     "- kind: Fleet\n",
			want:   "f.yaml:1:1: want a mapping, have a list",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var f fleet
			_, problems := Decode("f.yaml", []byte(tc.in), &f)
			if diff := cmp.Diff(tc.want, problems.Error()); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDecodeEqualsKubernetesYAML(t *testing.T) {
	const good = `# A document with everything that is accepted.
apiVersion: nave.dev/v1alpha1
kind: "Fleet"
metadata:
  name: fleet
  creationTimestamp: null
  labels: {app.kubernetes.io/name: nave, 8080: port, "yes": 'no', date: 2026-01-31}
  annotations:
    text: |
      two
      lines
    folded: >-
      one
      line
spec:
  version: "1.10"
  suspend: true
  clusters:
  - &first
    name: prod-us-1
    labels: {env: prod, empty: ""}
    nodePools:
    - {count: 3, cpu: 4, memory: 16Gi, spot: False}
    - count: 0x10
      cpu: 500m
      memory: "1e9"
  - *first
  - <<: *first
    name: prod-us-2
  - name: !!str 7
    labels:
    nodePools: []
  numbers:
    tiny: -128
    whole: 9_007_199_254_740_993
    port: 0o17
    large: 18446744073709551615
    weight: 5
    small: .5
    pair: [1, 2]
    byID: {1: a, 2: b}
    ptrs: [1, 2]
    zones: {a: {}, b: {weight: 10}}
    spare: {a: , b: {}, c: {weight: 1}}
  custom:
    limits: {cpu: 2, memory: 4Gi}
    soak: 1h30m
    expires: 2026-01-31T15:04:05Z
    at: "2026-01-31T15:04:05.000001Z"
    when: 2026-01-31T15:04:05Z
    target: 80%
    address: 10.0.0.1
    byAddr: {10.0.0.1: x}
    pair: a,b
    flag: true
    tags: [a, b]
    owner: {team: platform}
    data: aGVsbG8=
  free:
    values: {a: 1, b: [1.5, true, null, x, {}], c: {d: "on"}, e: 1.0, octal: 0644, date: 2026-01-31}
    any: [a, {b: c}]
    raw: {z: 1, a: "<&>", big: 9007199254740993, f: 1.50}
    items: [1, ~, []]
    named: {a: , b: {c: 1}, d: [x]}
  inner:
    custom: {target: 8080, expires: , soak: ~}
    free: {raw: , any: ~}
`
	var got, want fleet
	if _, problems := Decode("f.yaml", []byte(good), &got); len(problems) > 0 {
		t.Fatal(problems)
	}
	if err := yaml.Unmarshal([]byte(good), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareFleets); diff != "" {
		t.Errorf("differs from sigs.k8s.io/yaml (-want +got):\n%s", diff)
	}
}

// compareFleets compares what documents can set.
var compareFleets = cmp.Options{
	cmp.AllowUnexported(fleetSpec{}),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Hook" }, cmp.Ignore()),
}

func TestDecodeKeepsAndReplaces(t *testing.T) {
	one := 1
	into := struct {
		Kept    string            `json:"kept"`
		Null    string            `json:"null"`
		Pointer *int              `json:"pointer"`
		Gone    *int              `json:"gone"`
		List    []string          `json:"list"`
		Map     map[string]string `json:"map"`
		Struct  zone              `json:"struct"`
		Any     any               `json:"any"`
	}{
		Kept: "kept", Null: "kept", Pointer: &one, Gone: &one, List: []string{"a", "b"},
		Map: map[string]string{"a": "1"}, Struct: zone{Weight: 7}, Any: 1,
	}
	want := into
	want.Gone, want.List, want.Map, want.Any = nil, []string{"c"}, map[string]string{"a": "1", "b": "2"}, nil
	in := `{"null": null, pointer: 2, gone: ~, list: [c], map: {b: "2"}, struct: {}, any: null}`
	if _, problems := Decode("f.yaml", []byte(in), &into); len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(want, into); diff != "" {
		t.Errorf("defaults set before decoding (-want +got):\n%s", diff)
	}
	if one != 2 {
		t.Errorf("value behind a pointer that was set is %d, want 2", one)
	}
}

func TestDecodeSetsWhatFits(t *testing.T) {
	in := "kind: Fleet\nspec: {version: 1.10, suspend: true, clusters: [{name: [a], labels: {a: b, c: 1}}, x]}\n"
	var got fleet
	_, problems := Decode("f.yaml", []byte(in), &got)
	if len(problems) != 4 {
		t.Errorf("got %d problems, want 4:\n%s", len(problems), problems.Error())
	}
	var want fleet
	want.Kind, want.Spec.Suspend = "Fleet", true
	want.Spec.Clusters = []cluster{{Labels: map[string]string{"a": "b", "c": ""}}, {}}
	if diff := cmp.Diff(want, got, compareFleets); diff != "" {
		t.Errorf("validation goes on with what could be decoded (-want +got):\n%s", diff)
	}
}

func TestDecodePanicsOnProgramMistakes(t *testing.T) {
	for name, into := range map[string]any{"Nil": nil, "Value": fleet{}, "NilPointer": (*fleet)(nil)} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Errorf("decoding into %T does not panic, although nothing can be set", into)
				}
			}()
			Decode("f.yaml", []byte("kind: Fleet\n"), into)
		})
	}
}
