package flux

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestFieldsAreDocumented holds the page for those who come from Flux against what is
// read: each field of a kind is named there, in the section of the kind, and the counts
// of fields add up.
func TestFieldsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/coming-from-flux.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`(?m)^## `).Split(string(page), -1)
	for kind, spec := range map[string]any{
		"Kustomization": kustomizationSpec{}, "GitRepository": gitRepositorySpec{}, "HelmRelease": helmReleaseSpec{}, "ArtifactGenerator": artifactGeneratorSpec{},
	} {
		at := slices.IndexFunc(sections, func(text string) bool {
			return strings.HasPrefix(text, kind+"\n") || strings.HasPrefix(text, kind+" and ")
		})
		if at < 0 {
			t.Errorf("%s has no section", kind)
			continue
		}
		code := strings.Join(regexp.MustCompile("`[^`]+`").FindAllString(sections[at], -1), " ")
		of := reflect.TypeOf(spec)
		for i := range of.NumField() {
			field, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !regexp.MustCompile(`\b` + field + `\b`).MatchString(code) {
				t.Errorf("%s: spec.%s is not in its section", kind, field)
			}
		}
		row := regexp.MustCompile(`(?m)^\| fields of ` + kind + ` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$`).FindStringSubmatch(string(page))
		if row == nil {
			t.Errorf("%s has no counts of fields", kind)
			continue
		}
		sum := 0
		for _, text := range row[2:] {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if strconv.Itoa(sum) != row[1] {
			t.Errorf("%s: the fields that are the same, differ and are refused are %d, not %s", kind, sum, row[1])
		}
	}
}
