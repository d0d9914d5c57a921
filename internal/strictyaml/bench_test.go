package strictyaml

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// BenchmarkDecode compares a fleet file of 24 clusters with what decoding it without any check takes.
func BenchmarkDecode(b *testing.B) {
	var in strings.Builder
	in.WriteString("apiVersion: nave.dev/v1alpha1\nkind: Fleet\nspec:\n  clusters:\n")
	for i := range 24 {
		fmt.Fprintf(&in, "  - name: prod-%d\n    labels: {env: prod, region: eu, team: shop}\n    nodePools:\n", i)
		in.WriteString("    - {count: 3, cpu: 4, memory: 16Gi}\n    - {count: 2, cpu: 500m, memory: 1Gi, spot: true}\n")
	}
	data := []byte(in.String())
	b.Run("strict", func(b *testing.B) {
		for b.Loop() {
			var f fleet
			if _, problems := Decode("f.yaml", data, &f); len(problems) > 0 {
				b.Fatal(problems)
			}
		}
	})
	b.Run("kubernetes", func(b *testing.B) {
		for b.Loop() {
			var f fleet
			if err := yaml.Unmarshal(data, &f); err != nil {
				b.Fatal(err)
			}
		}
	})
}
