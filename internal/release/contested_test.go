package release

import (
	"strings"
	"testing"

	"nave.dev/internal/app"
	"nave.dev/internal/object"
)

// Of two apps with one release the one that made it keeps it, and the other one says so.
func TestContested(t *testing.T) {
	release := &app.Release{Name: "web", Namespace: "shop", Storage: "flux-system"}
	as := func(name, other string) *run {
		return &run{client: &Client{options: Options{Fleet: "acme"}}, target: Target{
			App: name, Release: release,
			ClaimedBy: func(id object.ID) (string, bool) {
				return other, other != "" && id == object.ID{Group: "helm.sh", Kind: "Release", Namespace: "flux-system", Name: "web"}
			},
		}}
	}
	made := rev(1, deployed, "a")
	made.owner = as("one", "").owner()
	for _, test := range []struct {
		reason, name, other string
		seen                history
		refused             bool
	}{
		{"who made it goes on", "one", "two", history{made}, false},
		{"the other one does not", "two", "one", history{made}, true},
		{"who made it has left", "two", "", history{made}, false},
		{"a third one made it, which has left", "two", "three", history{made}, false},
		{"nobody has made it yet", "two", "one", nil, false},
	} {
		err := as(test.name, test.other).contested(test.seen)
		if (err != nil) != test.refused || err != nil && !strings.Contains(err.Error(), `flux-system/web is that of the app "one"`) {
			t.Errorf("%s: %v", test.reason, err)
		}
	}
}
