package app

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValuesKeepTheTypesOfNumbers(t *testing.T) {
	want := Values{
		"whole": int64(1000000), "other": float64(1000000), "part": 0.1, "large": 1e300, "least": int64(-1 << 63),
		"none": nil, "text": "1e3", "list": []any{int64(5), float64(5), nil, map[string]any{"a": float64(0)}}, "empty": map[string]any{},
	}
	data, err := json.Marshal(struct{ V, None Values }{want, nil})
	if err != nil {
		t.Fatal(err)
	}
	var have struct{ V, None Values }
	if err := json.Unmarshal(data, &have); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have.V); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	if have.None != nil {
		t.Errorf("no values have become %v", have.None)
	}
}
