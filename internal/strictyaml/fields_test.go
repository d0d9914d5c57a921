package strictyaml

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type (
	embeddedA struct {
		Shared int
		OnlyA  int
		Tagged int `json:"tagged"`
		Deep   int `json:"deep"`
	}
	embeddedB struct {
		Shared int
		OnlyB  int
		Other  int `json:"Tagged"`
	}
	Pointed struct {
		InPointed int `json:"inPointed"`
		deeperOne
	}
	deeperOne struct {
		Deep    int `json:"deep"`
		Deeper  int `json:"deeper"`
		private int
	}
	hiddenPointer struct{ Unreachable int } // encoding/json cannot set it
	Recursive     struct {
		Depth int `json:"depth"`
		*Recursive
	}
	Number     int
	unexported int
	twice      struct{ Twice int }
	viaOne     struct{ twice }
	viaTwo     struct{ twice }
)

// embedding has every case of the rules by which encoding/json gives embedded fields their names.
type embedding struct {
	embeddedA
	embeddedB
	*Pointed
	*hiddenPointer
	Recursive
	Number
	unexported
	viaOne
	viaTwo
	Named   embeddedA `json:"named"`
	Inline  deeperOne `json:",inline"`
	Skipped int       `json:"-"`
	Plain   int
	Over    int `json:"OnlyB"`
}

// Fields that nothing can set are there to be passed over.
var _ = []any{embedding{}.unexported, deeperOne{}.private, fleetSpec{}.hidden}

func TestFieldsAreThoseOfEncodingJSON(t *testing.T) {
	full := embedding{Pointed: &Pointed{}, Recursive: Recursive{Recursive: &Recursive{}}}
	written, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(written, &fields); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Keys(fields))
	if diff := cmp.Diff(want, fieldsOf(reflect.TypeFor[embedding]()).names); diff != "" {
		t.Errorf("fields of %s (-want +got):\n%s", written, diff)
	}
	for _, name := range want {
		value := "1"
		if strings.HasPrefix(string(fields[name]), "{") {
			value = `{"deep": 1}`
		}
		in := fmt.Appendf(nil, "{%q: %s}", name, value)
		var got, want embedding
		if err := json.Unmarshal(in, &want); err != nil {
			t.Fatal(err)
		}
		if _, problems := Decode("f.yaml", in, &got); len(problems) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("decoding %s gives %+v and %v, encoding/json %+v", in, got, problems, want)
		}
	}
}

func TestNearest(t *testing.T) {
	tests := []struct{ name, want string }{
		{"prod", "prod"}, {"prdo", "prod"}, {"PROD", "prod"}, {"prd", "prod"}, {"stag", "staging"},
		{"st", ""}, {"antarctica", ""}, {"", ""}, {"deb", "dev"}, {"xyz", ""},
	}
	for _, test := range tests {
		if have := Nearest(test.name, []string{"dev", "staging", "prod"}); have != test.want {
			t.Errorf("Nearest(%q) is %q, want %q", test.name, have, test.want)
		}
	}
}
