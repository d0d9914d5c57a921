package app

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		reason, pattern, text string
		want                  bool
	}{
		{"equal texts", "prod", "prod", true},
		{"other texts", "prod", "prod-1", false},
		{"a star is anything", "*", "prod", true},
		{"nothing too", "prod*", "prod", true},
		{"the head counts", "prod-*", "dev-1", false},
		{"the tail counts", "*-eu", "prod-us", false},
		{"head and tail do not overlap", "aba*aba", "aba", false},
		{"the tail is the last of several", "*a", "aba", true},
		{"pieces in between, in their order", "a*b*c", "a-b-b-c", true},
		{"pieces in another order", "a*c*b", "a-b-c", false},
		{"no other sign is special", "a?c", "abc", false},
		{"an empty pattern", "", "a", false},
		{"stars in a row", "a**b", "ab", true},
	}
	for _, test := range tests {
		if have := Match(test.pattern, test.text); have != test.want {
			t.Errorf("%s: Match(%q, %q) is %v", test.reason, test.pattern, test.text, have)
		}
	}
	// Trying each way to place the pieces would not end.
	if Match(strings.Repeat("a*", 50)+"b", strings.Repeat("a", 2000)) {
		t.Error("a text without b fits a pattern that ends in b")
	}
}
