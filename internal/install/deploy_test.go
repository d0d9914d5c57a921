package install

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nave.dev/charts"
	"nave.dev/internal/app"
	"nave.dev/internal/render/chart"
	"nave.dev/internal/render/tree"
)

var rewrite = flag.Bool("rewrite", false, "write the manifests in place of comparing them")

const root = "../.."

// What is under deploy/ is the chart with these values; what a person must put in
// has the form of an example.
var (
	hubValues   = map[string]any{"hub": map[string]any{"enabled": true, "repository": "https://git.example.com/fleet.git", "api": map[string]any{"names": []any{"hub.example.com"}}}}
	agentValues = map[string]any{"agent": map[string]any{"enabled": true, "hub": "hub.example.com:7443", "cluster": "CLUSTER"}}
	aloneValues = map[string]any{"agent": map[string]any{
		"enabled": true, "repository": "https://git.example.com/fleet.git", "cluster": "CLUSTER", "credentialsSecret": "nave-credentials", "tokenKey": "token",
	}}
	restricted = map[string]any{"agent": map[string]any{
		"enabled": true, "hub": "hub.example.com:7443", "cluster": "CLUSTER", "profile": "restricted",
		"reads": []any{
			map[string]any{"apiGroups": []any{"apps"}, "resources": []any{"deployments"}, "namespaces": []any{"shop"}},
			map[string]any{"apiGroups": []any{""}, "resources": []any{"configmaps", "services"}, "namespaces": []any{"shop"}},
		},
		"impersonate": []any{map[string]any{"namespace": "shop", "name": "deployer"}},
	}}
)

// render is what helm template prints of the chart.
func render(namespace string, values map[string]any) (chart.Output, error) {
	return chart.Render(tree.Source{Files: charts.Files}, chart.Input{
		Dir: "nave", Namespace: namespace, Options: app.HelmOptions{ReleaseName: "nave", Values: values},
	})
}

// TestDeployIsCurrent compares what is under deploy/ with the chart, or writes it.
func TestDeployIsCurrent(t *testing.T) {
	for name, in := range map[string]struct {
		namespace string
		values    map[string]any
		says      string
	}{
		"hub.yaml": {"nave", hubValues,
			"# The hub. Put in the URL of your fleet repository. The Secret nave-authority is made by\n" +
				"# kubectl -n nave create secret generic nave-authority --from-file=DIRECTORY, of what nave hub init made.\n"},
		"agent.yaml": {Namespace, agentValues,
			"# The agent of a cluster. Put in the hub's address and the cluster's name. The Secret nave-agent-token has token\n" +
				"# and roots.pem, of what nave cluster join prints, which has all of this too.\n" +
				"# THE AGENT IS CLUSTER-ADMIN: it, and with it whoever rules the hub, may do everything on this cluster.\n"},
		"agent-alone.yaml": {Namespace, aloneValues,
			"# The agent of a cluster without a hub. Put in the URL of your fleet repository and the cluster's name. The Secret\n" +
				"# nave-credentials is made by kubectl -n nave-system create secret generic nave-credentials --from-literal=token=TOKEN.\n" +
				"# THE AGENT IS CLUSTER-ADMIN: whoever may write to the repository may do everything on this cluster.\n"},
		"agent-restricted.yaml": {Namespace, restricted,
			"# The agent of a cluster, as in agent.yaml, which sees Deployments, ConfigMaps and Services of the namespace shop\n" +
				"# and writes as the service account deployer of it alone.\n"},
	} {
		out, err := render(in.namespace, in.values)
		if err != nil {
			t.Fatal(err)
		}
		want, err := write(in.namespace, out)
		if err != nil {
			t.Fatal(err)
		}
		want = append([]byte(in.says), want...)
		file := filepath.Join(root, "deploy", name)
		if *rewrite {
			if err := os.WriteFile(file, want, 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(have)); diff != "" {
			t.Errorf("deploy/%s is not current: run go generate ./internal/install (-want +have):\n%s", name, diff)
		}
	}
}

func TestChartRefuses(t *testing.T) {
	for want, in := range map[string]struct {
		namespace string
		values    map[string]any
	}{
		"one installation is the hub or an agent": {"nave", map[string]any{"hub": hubValues["hub"], "agent": agentValues["agent"]}},
		"set hub.enabled or agent.enabled":        {"nave", nil},
		"works in the namespace nave-system":      {"elsewhere", agentValues},
		"platform or restricted":                  {Namespace, map[string]any{"agent": map[string]any{"enabled": true, "profile": "all"}}},
		"by which names people reach the hub":     {"nave", map[string]any{"hub": map[string]any{"enabled": true, "repository": "u", "api": map[string]any{"tlsSecret": "tls"}}}},
		"URL of the fleet repository":             {"nave", map[string]any{"hub": map[string]any{"enabled": true}}},
		"is for an agent without a hub":           {Namespace, agentWith(map[string]any{"hub": "h:1", "repository": "u"})},
		"go with agent.repository":                {Namespace, agentWith(map[string]any{"hub": "h:1", "tokenKey": "token"})},
		"keys in agent.credentialsSecret":         {Namespace, agentWith(map[string]any{"repository": "u", "tokenKey": "token"})},
		"keys in hub.credentialsSecret":           {"nave", map[string]any{"hub": map[string]any{"enabled": true, "repository": "u", "sshKey": "id"}}},
		"sshKey for one by ssh":                   {Namespace, agentWith(map[string]any{"repository": "u", "credentialsSecret": "c", "tokenKey": "token", "sshKey": "id"})},
		"address of the hub, HOST:PORT":           {Namespace, agentWith(nil)},
	} {
		if _, err := render(in.namespace, in.values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error that says %q: %v", want, err)
		}
	}
}

// A proxy's password is in a Secret alone.
func TestProxyPassword(t *testing.T) {
	for _, c := range []struct {
		reason string
		values map[string]any
		secret string
		inline bool
	}{
		{"none", map[string]any{"proxy": "http://proxy:3128"}, "", true},
		{"one", map[string]any{"proxy": "http://u:hush@proxy:3128"}, "nave-agent-proxy", false},
		{"somebody's Secret", map[string]any{"proxySecret": "mine"}, "mine", false},
	} {
		c.values["hub"] = "h:1"
		out, err := render(Namespace, agentWith(c.values))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Objects {
			if o.GetKind() != "Deployment" {
				continue
			}
			data, err := o.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if strings.Contains(text, "hush") || strings.Contains(text, "http://proxy:3128") != c.inline || strings.Contains(text, `"secretKeyRef":{"key":"proxy","name":"`+c.secret+`"}`) != (c.secret != "") {
				t.Errorf("%s: %s", c.reason, text)
			}
		}
	}
}

func agentWith(values map[string]any) map[string]any {
	agent := map[string]any{"enabled": true, "cluster": "c"}
	maps.Copy(agent, values)
	return map[string]any{"agent": agent}
}

// The image has what the chart counts on: who it runs as, where the program is,
// and the programs that nave starts.
func TestDockerfile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for want, reason := range map[string]string{
		`(?m)^USER 65532:65532$`:                 "the chart runs it as that user",
		`(?m)^ENTRYPOINT \["/usr/.*bin/nave"\]$`: "the chart gives arguments alone",
		`CGO_ENABLED=0`:                          "the program needs no library of the image",
		`\bgit\b`:                                "nave fetches with git",
		`\bopenssh-client\b`:                     "repositories by SSH",
		`\bca-certificates\b`:                    "repositories by HTTPS",
		`useradd .*65532|65532:65532:.*passwd`:   "ssh wants to know who runs it",
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("nothing in it is %s: %s", want, reason)
		}
	}
	for _, from := range regexp.MustCompile(`(?m)^(?:ARG \w+_IMAGE=|FROM )(\S+)`).FindAllStringSubmatch(text, -1) {
		if host, _, named := strings.Cut(from[1], "/"); named && strings.ContainsAny(host, ".:") {
			t.Errorf("the image %s names a registry", from[1])
		}
	}
}
