package desired

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/internal/keyring/keyringtest"
)

// signedFiles are a fleet whose Application web is of source team, in a project of those who sign by some keys.
func signedFiles(team *repository, keyring string, keys ...string) map[string]string {
	files := argoFiles()
	delete(files, "argocd/more.yaml")
	delete(files, "more/deep.yaml")
	files["fleet.yaml"] = fmt.Sprintf("apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  urls: ['%s']\n  sources:\n"+
		"  - {name: team, url: 'file://%s', revision: {branch: main}, deliveries: [root], verify: {keyringFile: keys.asc}}\n", fleetURL, team.dir)
	files["keys.asc"] = keyring
	files["argocd/project.yaml"] = "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata: {name: signed, namespace: argocd}\nspec:\n" +
		"  sourceRepos: ['*']\n  destinations: [{server: '*', namespace: '*'}]\n  signatureKeys: [{keyID: '" + strings.Join(keys, "'}, {keyID: '") + "'}]\n"
	web := strings.Replace(application("web", "deploy", ""), "project: default", "project: signed", 1)
	files["argocd/web.yaml"] = strings.Replace(web, fleetURL, "file://"+team.dir, 1)
	files["argocd/beside.yaml"] = application("beside", "deep", "")
	return files
}

// TestProjectsTakeOnlySignedCommits holds that a refusal is one of the app that it concerns, and removes nothing.
func TestProjectsTakeOnlySignedCommits(t *testing.T) {
	tess, bob := keyringtest.New(t, "tess", 0), keyringtest.New(t, "bob", 0)
	id, stranger := tess.Fingerprint()[24:], strings.Repeat("AB", 8)
	deploy := map[string]string{"deploy/web.yaml": deployment("web:1")}
	noKeyring := func(files map[string]string) {
		files["fleet.yaml"] = strings.Replace(files["fleet.yaml"], ", verify: {keyringFile: keys.asc}", "", 1)
	}
	ofFleet := func(files map[string]string) {
		files["argocd/web.yaml"] = strings.Replace(application("web", "web", ""), "project: default", "project: signed", 1)
	}
	generated := func(files map[string]string) {
		// The app is of a repository that is signed; what its name comes from is not.
		files["argocd/web.yaml"] = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: all, namespace: argocd}\nspec:\n  goTemplate: true\n" +
			"  generators: [{git: {repoURL: '" + fleetURL + "', revision: HEAD, directories: [{path: web}]}}]\n" +
			"  template:\n    metadata: {name: '{{.path.basename}}'}\n    spec:\n" + indent(files["argocd/web.yaml"])
	}
	lent := func(files map[string]string) {
		files["argocd/web.yaml"] = strings.Replace(files["argocd/web.yaml"], "source: {", "sources:\n  - {repoURL: '"+fleetURL+"', ref: values}\n  - {", 1)
	}
	for _, test := range []struct {
		reason string
		keys   []string // of the project; none is that of tess
		change func(map[string]string)
		commit func(*repository)
		want   string // contained in the error of the app; empty if there is none
	}{
		{"by one of the keys, which a fingerprint names", []string{stranger, tess.Fingerprint()}, nil, func(r *repository) { r.pgpCommit(tess, deploy) }, ""},
		{"by one of the keys, which an id names", []string{strings.ToLower(id)}, nil, func(r *repository) { r.pgpCommit(tess, deploy) }, ""},
		{"by a key of the source that is not one of the project's", []string{id}, nil, func(r *repository) { r.pgpCommit(bob, deploy) },
			`project "signed" takes only commits that are signed by ` + id + `: commit `},
		{"not signed", []string{id}, nil, func(r *repository) { r.commit(deploy) }, "the commit is not signed"},
		{"by a key that the keyring does not have", []string{stranger}, nil, func(r *repository) { r.pgpCommit(tess, deploy) }, "keys.asc has none of them\nhint: "},
		{"from a source without a keyring", []string{id}, noKeyring, func(r *repository) { r.pgpCommit(tess, deploy) }, `source "team" has no keyring` + "\nhint: "},
		{"from a fleet repository without a keyring", []string{id}, ofFleet, func(r *repository) { r.pgpCommit(tess, deploy) }, "the fleet repository has no keyring\nhint: "},
		{"of a set that looked where nobody signs", []string{id}, generated, func(r *repository) { r.pgpCommit(tess, deploy) }, "which a generator looked into: project"},
		{"with values from where nobody signs", []string{id}, lent, func(r *repository) { r.pgpCommit(tess, deploy) }, "whose ref is values: project"},
		{"by an id that others can have", []string{id[8:]}, nil, func(r *repository) { r.pgpCommit(tess, deploy) }, "is neither a key id of 16 hexadecimal digits"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			team := newRepository(t)
			test.commit(team)
			files := signedFiles(team, keyringtest.Public(tess, bob), test.keys...)
			if test.change != nil {
				test.change(files)
			}
			r := newRepository(t)
			r.commit(files)
			p := r.open(nil)
			c := compile(t, p, pin(t, p), "dev-1")["dev-1"]
			lines := describe(c)
			if test.want == "" {
				if diff := cmp.Diff([]string{"beside: ConfigMap/deep", "root:", "web: Deployment/web"}, lines); diff != "" || c.Incomplete != nil {
					t.Errorf("%v (-want +have):\n%s", c.Incomplete, diff)
				}
				return
			}
			if len(lines) != 3 || lines[0] != "beside: ConfigMap/deep" || !strings.Contains(lines[2], test.want) {
				t.Errorf("got %q, want %q", lines, test.want)
			}
			if c.Incomplete == nil {
				t.Error("the tree counts as known: what the app had asked for would be removed")
			}
		})
	}
}

// indent puts the spec of an Application into a template.
func indent(application string) string {
	_, spec, _ := strings.Cut(strings.TrimSuffix(application, "---\n"), "spec:\n")
	return "      " + strings.ReplaceAll(strings.TrimSpace(spec), "\n  ", "\n      ") + "\n"
}

// TestSignedCommitsAreFollowed changes by whom commits are signed, and who may sign, under a pipeline that goes on.
func TestSignedCommitsAreFollowed(t *testing.T) {
	tess, bob := keyringtest.New(t, "tess", 0), keyringtest.New(t, "bob", 0)
	team := newRepository(t)
	team.pgpCommit(tess, map[string]string{"deploy/web.yaml": deployment("web:1")})
	r := newRepository(t)
	files := signedFiles(team, keyringtest.Public(tess, bob), tess.Fingerprint())
	r.commit(files)
	p := r.open(nil)
	web := func(step, want string) {
		t.Helper()
		pinned := pin(t, p)
		fetch(t, p, pinned)
		lines := describe(compile(t, p, pin(t, p), "dev-1")["dev-1"])
		if len(lines) != 3 || !strings.Contains(lines[2], want) {
			t.Errorf("%s: got %q, want %q", step, lines, want)
		}
	}
	web("at first", "Deployment/web")
	team.pgpCommit(bob, map[string]string{"deploy/web.yaml": deployment("web:2")})
	web("signed by another", "is signed by bob <bob@example.com> with key ")
	admitting := maps.Clone(files)
	admitting["argocd/project.yaml"] = strings.Replace(files["argocd/project.yaml"], tess.Fingerprint(), bob.Fingerprint(), 1)
	r.commit(admitting)
	web("who was admitted", "Deployment/web")
	r.commit(files)
	web("and is not any more", "is signed by bob")
	team.pgpCommit(tess, map[string]string{"deploy/web.yaml": deployment("web:3")})
	web("mended", "Deployment/web")
}
