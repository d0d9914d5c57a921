package v1alpha1

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines returns findings one a line, without hints, of which none may be about nothing.
func lines(t *testing.T, found []Finding) string {
	t.Helper()
	var b strings.Builder
	for _, f := range found {
		if f.Field == "" || f.Message == "" {
			t.Errorf("finding without field or message: %+v", f)
		}
		b.WriteString(f.Field + ": " + f.Message + "\n")
	}
	return b.String()
}

func fleetOf(sources ...Source) *Fleet {
	return &Fleet{APIVersion: APIVersion, Kind: FleetKind, Metadata: Metadata{Name: "shop"}, Spec: FleetSpec{Sources: sources}}
}

func TestSourceURL(t *testing.T) {
	key := &Credential{SSHKeyFile: "key", KnownHostsFile: "hosts"}
	token := &Credential{TokenFile: "token"}
	password := &Credential{UsernameFile: "user", PasswordFile: "password"}
	helper := &Credential{Helper: "manager"}
	tests := []struct {
		reason, url string
		credential  *Credential
		want        string // part of the one finding; empty for none
	}{
		{"https needs nothing", "https://git.example.com/a.git", nil, ""},
		{"https with a token", "https://git.example.com/a.git", token, ""},
		{"https with a password", "https://git.example.com/a.git", password, ""},
		{"https with a helper", "https://git.example.com/a.git", helper, ""},
		{"https with a key", "https://git.example.com/a.git", key, "sshKeyFile does not go with https"},
		{"ssh with a key", "ssh://git@git.example.com:2222/a.git", key, ""},
		{"ssh in its short form", "git@git.example.com:team/a.git", key, ""},
		{"ssh without a key", "git@git.example.com:team/a.git", nil, "needs a credential"},
		{"ssh with a token", "ssh://git.example.com/a.git", token, "tokenFile does not go with ssh"},
		{"http for everyone", "http://git.example.com/a.git", nil, ""},
		{"http with a token, to another machine", "http://git.example.com/a.git", token, "everyone can read"},
		{"http with a token, to this machine", "http://127.0.0.1:3000/a.git", token, ""},
		{"http with a token, to this machine by name", "http://localhost:3000/a.git", token, ""},
		{"http to a machine that only sounds like this one", "http://localhost.example.com/a.git", token, "everyone can read"},
		{"files", "file:///srv/git/a.git", nil, ""},
		{"files with a token", "file:///srv/git/a.git", token, "takes no credential"},
		{"files of a host", "file://host/a.git", nil, "a file has no host"},
		{"missing", "", nil, "is missing"},
		{"a path", "/srv/git/a.git", nil, "is not the URL"},
		{"a program", "ext::sh -c id", nil, `"ext" is not a protocol`},
		{"a remote helper", "ext://x/y", nil, `"ext" is not a protocol`},
		{"an option for ssh as its host", "ssh://-oProxyCommand=id/x", key, "has no host"},
		{"an option for ssh in the short form", "-oProxyCommand=id:x", key, "is not the URL"},
		{"a password", "https://bob:hunter2@git.example.com/a.git", nil, "may not hold a credential"},
		{"a token as a user", "https://ghp_0123@git.example.com/a.git", nil, "may not hold a credential"},
		{"no path", "https://git.example.com/", nil, "has no path"},
		{"a query", "https://git.example.com/a.git?ref=main", nil, "no query"},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			found := fleetOf(Source{Name: "a", URL: test.url, Credential: test.credential,
				Revision: Revision{Branch: "main"}, Deliveries: []string{"*"}}).Validate()
			have := lines(t, found)
			if (test.want == "") != (have == "") || !strings.Contains(have, test.want) || len(found) > 1 {
				t.Errorf("have %q, want %q", have, test.want)
			}
			if strings.Contains(have, "hunter2") || strings.Contains(have, "ghp_") {
				t.Errorf("the finding repeats a secret: %s", have)
			}
		})
	}
}

func TestCredential(t *testing.T) {
	tests := []struct {
		reason     string
		credential Credential
		want       string
	}{
		{"nothing", Credential{}, "spec.sources[0].credential: says nothing\n"},
		{"two ways in", Credential{TokenFile: "a", Helper: "b"}, "spec.sources[0].credential: tokenFile and helper are different ways in\n"},
		{"a user without a password", Credential{UsernameFile: "a"}, "spec.sources[0].credential: there is a usernameFile without a passwordFile\n"},
		{"a password without a user", Credential{PasswordFile: "a"}, "spec.sources[0].credential: there is a passwordFile without a usernameFile\n"},
		{"a file of the machine", Credential{TokenFile: "/etc/shadow"}, "spec.sources[0].credential.tokenFile: \"/etc/shadow\" is absolute\n"},
		{"a file outside", Credential{TokenFile: "a/../../b"}, "spec.sources[0].credential.tokenFile: \"a/../../b\" has \"..\" in it\n"},
		{"a file by a detour", Credential{TokenFile: "./a"}, "spec.sources[0].credential.tokenFile: \"./a\" is not the shortest form of a path\n"},
		{"a command as a helper", Credential{Helper: "!cat /etc/shadow"}, "spec.sources[0].credential.helper: \"!cat /etc/shadow\" is not the name of a credential helper\n"},
		{"a path as a helper", Credential{Helper: "../x"}, "spec.sources[0].credential.helper: \"../x\" is not the name of a credential helper\n"},
	}
	for _, test := range tests {
		found := fleetOf(Source{Name: "a", URL: "https://git.example.com/a.git", Credential: &test.credential,
			Revision: Revision{Branch: "main"}, Deliveries: []string{"*"}}).Validate()
		if diff := cmp.Diff(test.want, lines(t, found)); diff != "" {
			t.Errorf("%s (-want +have)\n%s", test.reason, diff)
		}
	}
	ssh := map[string]Credential{
		"there is a sshKeyFile without a knownHostsFile": {SSHKeyFile: "a"},
		"there is a knownHostsFile without a sshKeyFile": {KnownHostsFile: "a"},
	}
	for want, credential := range ssh {
		found := fleetOf(Source{Name: "a", URL: "ssh://git@git.example.com/a.git", Credential: &credential,
			Revision: Revision{Branch: "main"}, Deliveries: []string{"*"}}).Validate()
		if have := lines(t, found); have != "spec.sources[0].credential: "+want+"\n" {
			t.Errorf("have %q, want %q", have, want)
		}
	}
}

func TestVerification(t *testing.T) {
	for reason, c := range map[string]struct {
		verify *Verification
		want   string
	}{
		"nobody asks for signatures": {nil, ""},
		"keys of SSH":                {&Verification{AllowedSignersFile: "a"}, ""},
		"keys of OpenPGP":            {&Verification{KeyringFile: "a"}, ""},
		"keys of either kind":        {&Verification{AllowedSignersFile: "a", KeyringFile: "b"}, ""},
		"no keys":                    {&Verification{}, "spec.verify: says nothing\n"},
		"a file elsewhere":           {&Verification{KeyringFile: "../a"}, "spec.verify.keyringFile: "},
	} {
		f := fleetOf()
		f.Spec.Verify = c.verify
		if have := lines(t, f.Validate()); !strings.HasPrefix(have, c.want) || (have == "") != (c.want == "") {
			t.Errorf("%s: have %q, want %q", reason, have, c.want)
		}
	}
}

func TestMetadata(t *testing.T) {
	tests := []struct {
		reason   string
		metadata Metadata
		want     string
	}{
		{"usual labels", Metadata{Name: "prod-eu.1", Labels: map[string]string{"env": "prod", "example.com/team": "", "a": "x_y.z"}}, ""},
		{"no name", Metadata{}, "metadata.name: is missing\n"},
		{"capitals", Metadata{Name: "Prod"}, "metadata.name: \"Prod\" is not a name\n"},
		{"64 characters", Metadata{Name: strings.Repeat("a", 64)}, "metadata.name: \"" + strings.Repeat("a", 64) + "\" is not a name\n"},
		{"a line break, which would divide marks", Metadata{Name: "a\nb"}, "metadata.name: \"a\\nb\" is not a name\n"},
		{"labels of our own", Metadata{Name: "a", Labels: map[string]string{ClusterLabel: "b"}},
			"metadata.labels[\"nave.dev/cluster\"]: labels under nave.dev are set by Nave alone\n"},
		{"values that no label has", Metadata{Name: "a", Labels: map[string]string{"team": "a b"}}, "metadata.labels.team: \"a b\" is not the value of a label\n"},
		{"names that no label has", Metadata{Name: "a", Labels: map[string]string{"a b": "c"}, Annotations: map[string]string{"/": ""}},
			"metadata.labels[\"a b\"]: \"a b\" is not the name of a label\nmetadata.annotations[\"/\"]: \"/\" is not the name of an annotation\n"},
	}
	for _, test := range tests {
		c := Cluster{APIVersion: APIVersion, Kind: ClusterKind, Metadata: test.metadata}
		if diff := cmp.Diff(test.want, lines(t, c.Validate())); diff != "" {
			t.Errorf("%s (-want +have)\n%s", test.reason, diff)
		}
	}
	strange := Cluster{APIVersion: "v1", Kind: "Pod", Metadata: Metadata{Name: "a"}}
	want := "apiVersion: want \"nave.dev/v1alpha1\", have \"v1\"\nkind: want \"Cluster\", have \"Pod\"\n"
	if diff := cmp.Diff(want, lines(t, strange.Validate())); diff != "" {
		t.Errorf("another kind (-want +have)\n%s", diff)
	}
}

func TestReleaseName(t *testing.T) {
	tests := []struct {
		reason, name string
		kind         RenderKind
		helm         *Helm
		want         string
	}{
		{"the app's name serves", "cart", RenderHelm, nil, ""},
		{"a name that no release can have", "cart.eu", RenderHelm, nil, "spec.helm.releaseName: is needed: \"cart.eu\" cannot be the name of a release\n"},
		{"which matters to nothing else", "cart.eu", RenderPlain, nil, ""},
		{"unless there is another", "cart.eu", RenderHelm, &Helm{ReleaseName: "cart"}, ""},
		{"one that is too long", "cart", RenderHelm, &Helm{ReleaseName: strings.Repeat("a", 54)},
			"spec.helm.releaseName: \"" + strings.Repeat("a", 54) + "\" is not the name of a release\n"},
	}
	for _, test := range tests {
		d := Delivery{APIVersion: APIVersion, Kind: DeliveryKind, Metadata: Metadata{Name: test.name},
			Spec: DeliverySpec{Clusters: ClusterSelection{All: true}, Source: DeliverySource{Path: "."}, Kind: test.kind, Helm: test.helm}}
		if diff := cmp.Diff(test.want, lines(t, d.Validate())); diff != "" {
			t.Errorf("%s (-want +have)\n%s", test.reason, diff)
		}
	}
}

func TestFill(t *testing.T) {
	context := Context{Name: "prod-1", Labels: map[string]string{"env": "prod", "example.com/tier": "gold", "none": "", "dots": ".."},
		Variables: map[string]string{"A": "${cluster.name}", "slash": "/etc"}}
	tests := []struct {
		reason, text, want string
		err                string
	}{
		{"no reference", "apps/a", "apps/a", ""},
		{"each kind of reference", "${cluster.name}/${cluster.labels.env}/${cluster.labels.example.com/tier}", "prod-1/prod/gold", ""},
		{"what is filled in is not filled in again", "${cluster.variables.A}", "${cluster.name}", ""},
		{"an escape", "$${cluster.name} $$${x} $ $$", "${cluster.name} $${x} $ $$", ""},
		{"an empty value is a value", "a${cluster.labels.none}b", "ab", ""},
		{"an unknown label", "${cluster.labels.region}", "", `there is no label "region"`},
		{"an unknown variable", "${cluster.variables.B}", "", `there is no variable "B"`},
		{"a slip", "${cluster.label.env}", "", "${cluster.label.env} refers to nothing"},
		{"another syntax", "${ENV:-dev}", "", "${ENV:-dev} refers to nothing"},
		{"nothing", "${}", "", "${} refers to nothing"},
		{"a label without a name", "${cluster.labels.}", "", "${cluster.labels.} refers to nothing"},
		{"no end", "a ${cluster.name", "", `"${" is not closed by "}"`},
		{"a problem comes before what is missing", "${cluster.labels.region} ${x}", "", "${x} refers to nothing"},
	}
	for _, test := range tests {
		have, err := Fill(test.text, context)
		if text := message(err); have != test.want || text != test.err {
			t.Errorf("%s: Fill(%q) is %q, %q", test.reason, test.text, have, text)
		}
	}
	_, err := Fill("${cluster.labels.region}", context)
	missing, ok := errors.AsType[*MissingError](err)
	if diff := cmp.Diff(&MissingError{What: "label", Name: "region", Have: []string{"dots", "env", "example.com/tier", "none"}}, missing); !ok || diff != "" {
		t.Errorf("what is missing (-want +have)\n%s", diff)
	}
	paths := []struct{ reason, text, want, err string }{
		{"the top", ".", ".", ""},
		{"another form of the top", "./", ".", ""},
		{"a reference", "./apps/${cluster.labels.env}/", "apps/prod", ""},
		{"a value that would leave out a level", "apps/${cluster.labels.none}/x", "", "${cluster.labels.none} is empty"},
		{"a value that leads outside", "apps/${cluster.labels.dots}/x", "", `"apps/../x" has ".." in it`},
		{"a value that is absolute", "${cluster.variables.slash}", "", `"/etc" is absolute`},
		{"a backslash", `a\b`, "", `"a\\b" has a backslash`},
	}
	for _, test := range paths {
		have, err := FillPath(test.text, context)
		if text := message(err); have != test.want || text != test.err {
			t.Errorf("%s: FillPath(%q) is %q, %q", test.reason, test.text, have, text)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestRevision(t *testing.T) {
	hash := strings.Repeat("0a", 20)
	good := []Revision{{}, {Branch: "feature/a:b"}, {Tag: "v1"}, {Semver: ">=1.2 <2"}, {Commit: hash}}
	for _, want := range good {
		have, err := ParseRevision(want.String())
		if err != nil || have != want {
			t.Errorf("%+v is printed as %q and read as %+v, %v", want, want.String(), have, err)
		}
	}
	for _, text := range []string{"main", "branch:", "ref:main", ":main"} {
		if have, err := ParseRevision(text); err == nil {
			t.Errorf("%q is read as %+v", text, have)
		}
	}
	context := Context{Name: "c", Labels: map[string]string{"env": "prod", "none": "", "bad": "a..b"}}
	tests := []struct {
		reason   string
		revision Revision
		want     string // the revision, or the error
	}{
		{"a branch of many levels", Revision{Branch: "env/${cluster.labels.env}"}, "branch:env/prod"},
		{"a commit", Revision{Commit: hash}, "commit:" + hash},
		{"an empty value would be another branch", Revision{Branch: "env${cluster.labels.none}"}, "${cluster.labels.none} is empty"},
		{"what git has no names for", Revision{Tag: "${cluster.labels.bad}"}, `"a..b" is not the name of a tag`},
		{"an option", Revision{Branch: "--upload-pack=id"}, `"--upload-pack=id" is not the name of a branch`},
		{"a lock", Revision{Branch: "a.lock/b"}, `"a.lock/b" is not the name of a branch`},
		{"a reflog", Revision{Branch: "a@{1}"}, `"a@{1}" is not the name of a branch`},
		{"an empty level", Revision{Branch: "a//b"}, `"a//b" is not the name of a branch`},
		{"part of a hash", Revision{Commit: hash[:12]}, `"0a0a0a0a0a0a" is no full commit hash`},
	}
	for _, test := range tests {
		before := test.revision
		filled, err := test.revision.Fill(context)
		if have := filled.String() + message(err); have != test.want {
			t.Errorf("%s: have %q, want %q", test.reason, have, test.want)
		}
		if test.revision != before {
			t.Errorf("%s: Fill changed its receiver to %+v", test.reason, test.revision)
		}
	}
}

// FuzzFill checks that any template is either refused or filled in, the same way twice, and that no path leads out.
func FuzzFill(f *testing.F) {
	for _, seed := range []string{"", "a", "${cluster.name}", "$${", "${", "${cluster.labels.a}/${cluster.variables.B}", "../${cluster.name}", "a//./b/"} {
		f.Add(seed, "x")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		context := Context{Name: value, Labels: map[string]string{"a": value}, Variables: map[string]string{"B": value}}
		filled, err := Fill(text, context)
		if checked := CheckTemplate(text); checked != nil && err == nil {
			t.Errorf("%q is refused, %v, and filled in as %q", text, checked, filled)
		}
		if err == nil && !strings.Contains(text, "${") && filled != text {
			t.Errorf("%q has no reference and becomes %q", text, filled)
		}
		if filled, err := FillPath(text, context); err == nil && filled != "." && !fs.ValidPath(strings.ToValidUTF8(filled, "?")) {
			t.Errorf("%q becomes %q, which is no path", text, filled)
		}
	})
}
