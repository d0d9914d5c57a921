package desired

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"nave.dev/internal/app"
	"nave.dev/internal/keyring/keyringtest"
)

// repository is a Git repository that tests write and pipelines follow.
type repository struct {
	tb  testing.TB
	dir string
}

func newRepository(tb testing.TB) *repository {
	tb.Helper()
	r := &repository{tb, tb.TempDir()}
	r.git("", "init", "--quiet", "--initial-branch=main")
	return r
}

// git runs git without the settings of whoever runs the tests.
func (r *repository) git(stdin string, args ...string) string {
	r.tb.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=core.fsync", "GIT_CONFIG_VALUE_0=none",
		"GIT_AUTHOR_NAME=Tess", "GIT_AUTHOR_EMAIL=tess@example.com", "GIT_COMMITTER_NAME=Tess", "GIT_COMMITTER_EMAIL=tess@example.com")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.tb.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// write changes files without a commit; one without content is removed.
func (r *repository) write(files map[string]string) {
	r.tb.Helper()
	for name, content := range files {
		path := filepath.Join(r.dir, name)
		if content == "" {
			if err := os.Remove(path); err != nil {
				r.tb.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			r.tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			r.tb.Fatal(err)
		}
	}
}

// commit changes files and returns the hash of the commit that does so.
func (r *repository) commit(files map[string]string) string {
	r.tb.Helper()
	r.write(files)
	r.git("", "add", "--all")
	r.git("", "commit", "--quiet", "--allow-empty", "-m", "Change "+strings.Join(slices.Sorted(maps.Keys(files)), ", "))
	return r.head()
}

func (r *repository) head() string {
	r.tb.Helper()
	return strings.TrimSpace(r.git("", "rev-parse", "HEAD"))
}

// signedCommit is commit, with a signature by the key as Git makes it: an SSH
// signature, as PROTOCOL.sshsig of OpenSSH says, of the commit without it.
func (r *repository) signedCommit(key ssh.Signer, files map[string]string) string {
	r.tb.Helper()
	r.commit(files)
	commit := r.git("", "cat-file", "commit", "HEAD")
	sum := sha512.Sum512([]byte(commit))
	const magic, namespace, hash = "SSHSIG", "git", "sha512"
	signature, err := key.Sign(rand.Reader, append([]byte(magic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{namespace, "", hash, sum[:]})...))
	if err != nil {
		r.tb.Fatal(err)
	}
	body := append([]byte(magic), ssh.Marshal(struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{1, key.PublicKey().Marshal(), namespace, "", hash, ssh.Marshal(signature)})...)
	armor := string(bytes.TrimSpace(pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: body})))
	return r.amend(commit, armor)
}

// pgpCommit is commit, with a signature by an OpenPGP key.
func (r *repository) pgpCommit(key *keyringtest.Key, files map[string]string) string {
	r.tb.Helper()
	r.commit(files)
	commit := r.git("", "cat-file", "commit", "HEAD")
	return r.amend(commit, strings.TrimSpace(key.Sign(commit)))
}

// amend puts a signature into a commit and makes that the head.
func (r *repository) amend(commit, armor string) string {
	r.tb.Helper()
	header, message, _ := strings.Cut(commit, "\n\n")
	signed := header + "\ngpgsig " + strings.ReplaceAll(armor, "\n", "\n ") + "\n\n" + message
	hashed := strings.TrimSpace(r.git(signed, "hash-object", "-t", "commit", "-w", "--stdin"))
	r.git("", "update-ref", "HEAD", hashed)
	return hashed
}

// newKey returns a key and its line in a list of allowed signers.
func newKey(tb testing.TB, name string) (ssh.Signer, string) {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, fmt.Sprintf("%s@example.com %s", name, ssh.MarshalAuthorizedKey(signer.PublicKey()))
}

// fleetFiles are a fleet of three clusters, two of which share an overlay.
func fleetFiles() map[string]string {
	files := map[string]string{
		"fleet.yaml":                           "apiVersion: nave.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\n",
		"deliveries/web.yaml":                  delivery("web", "source: {path: 'web/overlays/${cluster.labels.env}'}"),
		"deliveries/settings.yaml":             delivery("settings", "source: {path: settings}"),
		"web/base/kustomization.yaml":          "resources: [web.yaml]\n",
		"web/base/web.yaml":                    deployment("web:1"),
		"web/overlays/dev/kustomization.yaml":  "resources: [../../base]\nreplicas: [{name: web, count: 1}]\n",
		"web/overlays/prod/kustomization.yaml": "resources: [../../base]\nreplicas: [{name: web, count: 3}]\n",
		"settings/settings.yaml":               configMap("settings", "a"),
	}
	for name, env := range map[string]string{"dev-1": "dev", "prod-eu": "prod", "prod-us": "prod"} {
		files["clusters/"+name+".yaml"] = cluster(name, env)
	}
	return files
}

func cluster(name, env string) string {
	return fmt.Sprintf("apiVersion: nave.dev/v1alpha1\nkind: Cluster\nmetadata: {name: %s, labels: {env: %s}}\n", name, env)
}

// delivery is one to all clusters. The fields are lines of its spec.
func delivery(name string, fields ...string) string {
	return fmt.Sprintf("apiVersion: nave.dev/v1alpha1\nkind: Delivery\nmetadata: {name: %s}\nspec:\n  clusters: {all: true}\n  namespace: shop\n  %s\n",
		name, strings.Join(fields, "\n  "))
}

func deployment(image string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n" +
		"    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'example.org/" + image + "'}]}\n"
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {key: %s}\n", name, value)
}

// open opens a pipeline that follows the repository.
func (r *repository) open(change func(*Options)) *Pipeline {
	r.tb.Helper()
	opts := Options{Dir: r.tb.TempDir(), Repository: Repository{URL: r.dir}}
	if change != nil {
		change(&opts)
	}
	p, err := Open(r.tb.Context(), opts)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			r.tb.Error(err)
		}
	})
	return p
}

// fetch brings the mirrors up to date; all must be reached.
func fetch(tb testing.TB, p *Pipeline, pinned *Pinned) {
	tb.Helper()
	for _, state := range p.Fetch(tb.Context(), pinned) {
		if state.Err != "" {
			tb.Fatalf("fetching %q: %s", state.Name, state.Err)
		}
	}
}

// pin fetches and pins.
func pin(tb testing.TB, p *Pipeline) *Pinned {
	tb.Helper()
	fetch(tb, p, nil)
	pinned, err := p.Pin(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return pinned
}

func unknown(string) app.Facts { return app.Facts{} }

// compile compiles the named clusters, by default all.
func compile(tb testing.TB, p *Pipeline, pinned *Pinned, clusters ...string) map[string]*Compiled {
	tb.Helper()
	if clusters == nil {
		clusters = pinned.Members()
	}
	compiled, err := p.Compile(tb.Context(), pinned, clusters, unknown)
	if err != nil {
		tb.Fatal(err)
	}
	return compiled
}

// describe lists what a cluster should hold: apps with their objects, or what is
// wrong with them.
func describe(c *Compiled) (lines []string) {
	for _, d := range c.Apps {
		line := d.Name + ":"
		if d.Err != nil {
			line += " " + d.Err.Error()
		}
		for _, u := range objectsOf(d) {
			line += fmt.Sprintf(" %s/%s", u.GetKind(), u.GetName())
		}
		lines = append(lines, line)
	}
	return lines
}
