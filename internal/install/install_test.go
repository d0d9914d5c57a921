package install

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// read returns the objects of a manifest, by kind and name.
func read(t *testing.T, manifest []byte) map[string]*unstructured.Unstructured {
	t.Helper()
	found := map[string]*unstructured.Unstructured{}
	for _, part := range strings.Split(string(manifest), "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), &u.Object); err != nil {
			t.Fatalf("%v in\n%s", err, part)
		}
		if len(found) == 0 && u.GetKind() != "Namespace" {
			t.Errorf("the first object is a %s", u.GetKind())
		}
		found[u.GetKind()+" "+strings.TrimPrefix(u.GetNamespace()+"/"+u.GetName(), "/")] = u
	}
	return found
}

func TestManifest(t *testing.T) {
	agent := Agent{Cluster: "prod-eu-1", Hub: "hub.example.com:7443", Token: "t1", Roots: []byte("-----BEGIN CERTIFICATE-----\nabc\n"), Image: "registry:5000/nave:1.2"}
	manifest, err := agent.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(manifest), "# The agent of the cluster \"prod-eu-1\"") || !strings.Contains(string(manifest), "\n# THE AGENT IS CLUSTER-ADMIN") {
		t.Errorf("it does not say what one agrees to:\n%.400s", manifest)
	}
	objects := read(t, manifest)
	deployment := objects["Deployment nave-system/nave-agent"]
	if deployment == nil || objects["ClusterRoleBinding nave-agent"] == nil || objects["ServiceAccount nave-system/nave-agent"] == nil {
		t.Fatalf("there are %v", objects)
	}
	if secret := objects["Secret nave-system/nave-agent-token"]; secret == nil || fmt.Sprint(secret.Object["stringData"]) != "map[roots.pem:-----BEGIN CERTIFICATE-----\nabc\n token:t1]" {
		t.Errorf("the token is %v", secret)
	}
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	container := containers[0].(map[string]any)
	if args := fmt.Sprint(container["args"]); !strings.Contains(args, "--hub=hub.example.com:7443 --cluster=prod-eu-1 ") || strings.Contains(args, "t1") {
		t.Errorf("the arguments are %s", args)
	}
	if container["image"] != "registry:5000/nave:1.2" {
		t.Errorf("the image is %v", container["image"])
	}
}

// Restricted rights hold no wildcard, and no write outside the agent's own namespace.
func TestRestricted(t *testing.T) {
	manifest, err := Agent{
		Cluster: "c", Hub: "h:1", Token: "t", Roots: []byte("r"), Restricted: true,
		Reads:       []Read{{Group: "apps", Resources: []string{"deployments"}, Namespaces: []string{"shop"}}, {Resources: []string{"nodes"}}},
		Impersonate: []string{"shop/deployer", "shop/other"},
	}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	objects := read(t, manifest)
	for _, want := range []string{"Role shop/nave-agent-shop", "RoleBinding shop/nave-agent-shop", "Role nave-system/nave-agent", "ClusterRole nave-agent", "ClusterRoleBinding nave-agent"} {
		if objects[want] == nil {
			t.Errorf("there is no %s", want)
		}
	}
	if strings.Contains(string(manifest), "cluster-admin") {
		t.Error("cluster-admin in restricted rights")
	}
	for name, u := range objects {
		rules, _, err := unstructured.NestedSlice(u.Object, "rules")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			text := fmt.Sprint(r)
			if strings.Contains(text, "*") {
				t.Errorf("%s allows %s", name, text)
			}
			for _, verb := range r.(map[string]any)["verbs"].([]any) {
				switch verb {
				case "get", "list", "watch", "impersonate":
				default:
					if name != "Role nave-system/nave-agent" {
						t.Errorf("%s allows to %s: %s", name, verb, text)
					}
				}
			}
		}
	}
}

// By a proxy an agent reaches its hub, and not its own API server.
func TestProxy(t *testing.T) {
	manifest, err := Agent{Cluster: "c", Hub: "h:1", Proxy: "http://proxy:3128"}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	containers, _, err := unstructured.NestedSlice(read(t, manifest)["Deployment nave-system/nave-agent"].Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	env := fmt.Sprint(containers[0].(map[string]any)["env"])
	for _, want := range []string{"name:HTTPS_PROXY value:http://proxy:3128", "name:NO_PROXY value:$(KUBERNETES_SERVICE_HOST),"} {
		if !strings.Contains(env, want) {
			t.Errorf("the environment is %s, without %s", env, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for want, agent := range map[string]Agent{
		"is not HOST:PORT":      {Cluster: "c", Hub: "hub"},
		"is not NAMESPACE/NAME": {Cluster: "c", Hub: "h:1", Restricted: true, Impersonate: []string{"deployer"}},
		"is not NAME:TAG":       {Cluster: "c", Hub: "h:1", Image: "registry:5000/nave"},
	} {
		if _, err := agent.Manifest(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error that says that it %s: %v", want, err)
		}
	}
}

// What people type stays a value.
func TestHostileValues(t *testing.T) {
	manifest, err := Agent{Cluster: "c\"\n            - --allow=all", Hub: "h\" {}:1", Token: "{{ fail \"x\" }}", Roots: []byte("a: b\n---\nkind: x")}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	containers, _, err := unstructured.NestedSlice(read(t, manifest)["Deployment nave-system/nave-agent"].Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range containers[0].(map[string]any)["args"].([]any) {
		if strings.HasPrefix(arg.(string), "--allow") {
			t.Errorf("an argument was smuggled in: %v", arg)
		}
	}
}
