package lab_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// TestNaveStories plays the stories of the product: a lab, a fleet repository on
// its Git server, a hub, and the commands that a platform engineer types.
func TestNaveStories(t *testing.T) {
	play(t, filepath.Join("testdata", "nave"), map[string]func(*testscript.TestScript, bool, []string){
		"git-init": gitInit, "commit": commit, "push": push, "start-hub": startHub, "stop-hub": stopHub, "kill-hub": killHub,
		"versions": versions, "diff-versions": diffVersions, "confirm-held": confirmHeld, "replicas": replicas, "sample": sample,
		"digest": digest, "everywhere": everywhere, "secret": secret, "hidden": hidden,
		"agents": agents, "start-agent": startAgent, "kill-agent": killAgent,
		"start-lone": startLone, "answers": answers,
		"cut": cut, "slow": slow, "mend": mend, "limit-agent": limitAgent,
		"uids": uids, "limit-hub": limitHub, "storm": storm,
	})
}

// must runs a program in the story's current directory and returns what it prints.
func must(ts *testscript.TestScript, name string, args ...string) string {
	cmd := program(ts, name, args...)
	cmd.Dir = ts.MkAbs(".")
	for _, variable := range []string{"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_CONFIG_GLOBAL"} {
		cmd.Env = append(cmd.Env, variable+"="+ts.Getenv(variable))
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		ts.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// gitInit makes the current directory a repository with one commit, and sets
// $GIT to the lab's Git server.
func gitInit(ts *testscript.TestScript, _ bool, _ []string) {
	must(ts, "git", "init", "-q", "-b", "main")
	ts.Setenv("GIT", must(ts, "nave-lab", "git", "url"))
	commit(ts, false, []string{"first"})
}

// commit MESSAGE commits everything and sets $HEAD.
func commit(ts *testscript.TestScript, _ bool, args []string) {
	must(ts, "git", "add", "-A")
	must(ts, "git", "commit", "-q", "--allow-empty", "-m", args[0])
	ts.Setenv("HEAD", must(ts, "git", "rev-parse", "HEAD"))
}

// push pushes to the fleet repository on the lab's Git server, whose webhook
// tells the hub.
func push(ts *testscript.TestScript, _ bool, _ []string) {
	must(ts, "git", "push", "-q", must(ts, "nave-lab", "git", "url")+"/fleet.git", "main")
}

type hubKey struct{}

// hubProcess is the story's hub while it runs.
type hubProcess struct{ cmd *exec.Cmd }

func (h *hubProcess) stop() {
	if h.cmd == nil {
		return
	}
	h.cmd.Process.Signal(syscall.SIGTERM)
	h.cmd.Wait()
	h.cmd = nil
}

// start-hub [ARGUMENT…] starts a hub on the fleet repository, that takes agents if
// there are to be some. It looks at Git every second.
func startHub(ts *testscript.TestScript, _ bool, args []string) {
	h := ts.Value(hubKey{}).(*hubProcess)
	reach := []string{"--kubeconfigs", ts.Getenv("KUBECONFIGS")}
	if address := ts.Getenv("AGENTS"); address != "" {
		reach = []string{"--agents", address}
	}
	h.cmd = program(ts, "nave", slices.Concat([]string{"hub", "--interval", "1s", "--repo", must(ts, "nave-lab", "git", "url") + "/fleet.git"}, reach, args)...)
	log, err := os.OpenFile(filepath.Join(ts.Getenv("WORK"), "hub.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	h.cmd.Stdout, h.cmd.Stderr = log, log
	ts.Check(h.cmd.Start())
	eventually(ts, false, []string{"nave", "status"})
}

func stopHub(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Value(hubKey{}).(*hubProcess).stop()
}

// kill-hub ends the hub without a warning.
func killHub(ts *testscript.TestScript, _ bool, _ []string) {
	h := ts.Value(hubKey{}).(*hubProcess)
	ts.Check(h.cmd.Process.Kill())
	h.cmd.Wait()
	h.cmd = nil
}

// versions FILE writes down what shows a write of Nave for every object that
// carries its marks, on every cluster: the resource version, or where a status
// moves that too, the generation and the times of Nave's managed fields (which are
// whole seconds, and would hide a second write within one).
func versions(ts *testscript.TestScript, _ bool, args []string) {
	written := map[string]string{}
	files, err := filepath.Glob(filepath.Join(ts.Getenv("KUBECONFIGS"), "*.kubeconfig"))
	ts.Check(err)
	for _, file := range files {
		cluster := strings.TrimSuffix(filepath.Base(file), ".kubeconfig")
		out := must(ts, "kubectl", "--kubeconfig", file, "get", "--show-managed-fields", "-A", "-l", "nave.dev/app",
			"deployments,services,configmaps,namespaces", "-o", "json")
		var list struct {
			Items []struct {
				Kind     string
				Metadata struct {
					Name            string
					UID             string
					Generation      int64
					ResourceVersion string
					ManagedFields   []struct{ Manager, Operation, Time string }
				}
			}
		}
		ts.Check(json.Unmarshal([]byte(out), &list))
		for _, item := range list.Items {
			text := fmt.Sprint(item.Metadata.UID, item.Metadata.Generation)
			if item.Kind == "ConfigMap" {
				text += " " + item.Metadata.ResourceVersion
			}
			for _, entry := range item.Metadata.ManagedFields {
				if entry.Manager == "nave" {
					text += entry.Operation + entry.Time
				}
			}
			written[cluster+" "+item.Kind+"/"+item.Metadata.Name] = text
		}
	}
	data, err := json.Marshal(written)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), args[0]), data, 0o600))
}

// diffVersions FILE FILE prints the objects that were written in between.
func diffVersions(ts *testscript.TestScript, _ bool, args []string) {
	read := func(name string) (written map[string]string) {
		data, err := os.ReadFile(filepath.Join(ts.Getenv("WORK"), name))
		ts.Check(err)
		ts.Check(json.Unmarshal(data, &written))
		return written
	}
	before, after := read(args[0]), read(args[1])
	out := ""
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			out += name + "\n"
		}
	}
	// As the output of the story's last command, for stdout and cmp.
	file := filepath.Join(ts.Getenv("WORK"), "diff")
	ts.Check(os.WriteFile(file, []byte(out), 0o600))
	ts.Check(ts.Exec("cat", file))
}

// uids FILE writes down which objects of the namespace shop there are on cluster
// one, by their UIDs.
func uids(ts *testscript.TestScript, _ bool, args []string) {
	out := must(ts, "kubectl", "--kubeconfig", ts.Getenv("KUBECONFIGS")+"/one.kubeconfig", "-n", "shop", "get", "configmaps,services,secrets",
		"-o", "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{\"\\n\"}{end}")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out+"\n"), 0o600))
}

// limitHub nofile|fsize N|unlimited limits what the running hub may use.
func limitHub(ts *testscript.TestScript, _ bool, args []string) {
	limit(ts, ts.Value(hubKey{}).(*hubProcess).cmd.Process.Pid, args[0], args[1])
}

// limit sets what a process may have of a resource.
func limit(ts *testscript.TestScript, pid int, name, value string) {
	resource := map[string]int{"nofile": unix.RLIMIT_NOFILE, "fsize": unix.RLIMIT_FSIZE}[name]
	var limit unix.Rlimit
	ts.Check(unix.Prlimit(pid, resource, nil, &limit))
	if limit.Cur = limit.Max; value != "unlimited" {
		n, err := strconv.ParseUint(value, 10, 64)
		ts.Check(err)
		limit.Cur = n
	}
	ts.Check(unix.Prlimit(pid, resource, &limit, nil))
}

// confirmHeld confirms the one held list that the hub shows.
func confirmHeld(ts *testscript.TestScript, _ bool, _ []string) {
	var rows []struct{ Held *struct{ Digest string } }
	ts.Check(json.Unmarshal([]byte(must(ts, "nave", "apps", "-o", "json")), &rows))
	for _, row := range rows {
		if row.Held != nil {
			must(ts, "nave", "confirm", row.Held.Digest, "--reason", "the story says so")
			return
		}
	}
	ts.Fatalf("nothing is held")
}

// digest sets $DIGEST to that of the held list in what the last command printed.
func digest(ts *testscript.TestScript, _ bool, _ []string) {
	match := regexp.MustCompile(`confirmPrune: ([0-9a-f]+)`).FindStringSubmatch(ts.ReadFile("stdout"))
	if match == nil {
		ts.Fatalf("there is no digest in it")
	}
	ts.Setenv("DIGEST", match[1])
}

// everywhere NAME… wants ConfigMaps of the namespace shop on every cluster.
func everywhere(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(filepath.Join(ts.Getenv("KUBECONFIGS"), "*.kubeconfig"))
	ts.Check(err)
	for _, file := range files {
		must(ts, "kubectl", append([]string{"--kubeconfig", file, "-n", "shop", "get", "configmap"}, args...)...)
	}
}

// replicas NAME N waits until a deployment of cluster one has N replicas, stated
// and ready.
func replicas(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, false, []string{"sh", "-c", fmt.Sprintf(
		`test "$(kubectl --kubeconfig $KUBECONFIGS/one.kubeconfig -n shop get deployment %s -o 'jsonpath={.spec.replicas} {.status.readyReplicas}')" = "%s %s"`,
		args[0], args[1], args[1])})
}

// sample makes the directory sample a working copy of the sample's fleet
// repository with the clusters that the lab has, and pushes it. The Cluster
// documents of the others are left beside it, and the key of its Secrets as
// sample.agekey.
func sample(ts *testscript.TestScript, _ bool, _ []string) {
	dir, outside := ts.MkAbs("sample"), ts.MkAbs(".")
	ts.Check(os.CopyFS(dir, os.DirFS(ts.Getenv("EXAMPLES")+"/ecommerce/fleet")))
	key, err := os.ReadFile(ts.Getenv("EXAMPLES") + "/ecommerce/demo-only.agekey")
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(outside, "sample.agekey"), key, 0o600))
	documents, err := filepath.Glob(filepath.Join(dir, "clusters", "*.yaml"))
	ts.Check(err)
	for _, document := range documents {
		name := strings.TrimSuffix(filepath.Base(document), ".yaml")
		if _, err := os.Stat(filepath.Join(ts.Getenv("KUBECONFIGS"), name+".kubeconfig")); err != nil {
			ts.Check(os.Rename(document, filepath.Join(outside, name+".yaml")))
		}
	}
	ts.Check(ts.Chdir(dir))
	gitInit(ts, false, nil)
	push(ts, false, nil)
	ts.Check(ts.Chdir(outside))
}

// secret NAME KEY VALUE waits until a Secret of cluster one has a value.
func secret(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, false, []string{"sh", "-c", fmt.Sprintf(
		`test "$(kubectl --kubeconfig $KUBECONFIGS/one.kubeconfig -n shop get secret %s -o 'jsonpath={.data.%s}' | base64 -d)" = %s`,
		args[0], args[1], args[2])})
}

// hidden VALUE… looks for values, as they are and in base64, in all that the hub
// tells, logs and keeps.
func hidden(ts *testscript.TestScript, _ bool, values []string) {
	seen := map[string]string{"hub.log": ts.ReadFile(filepath.Join(ts.Getenv("WORK"), "hub.log"))}
	for _, command := range []string{"events", "drift", "apps", "clusters", "status"} {
		seen["nave "+command] = must(ts, "nave", command, "-o", "json")
	}
	ts.Check(filepath.WalkDir(ts.Getenv("NAVE_DIR"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // git has tidied up meanwhile
		}
		seen[path] = string(data)
		return err
	}))
	found := false
	for where, text := range seen {
		found = found || strings.Contains(text, `"sops"`)
		for _, value := range values {
			for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
				if strings.Contains(text, form) {
					ts.Fatalf("%s is in %s", form, where)
				}
			}
		}
	}
	if !found || !strings.Contains(seen["nave events"], "Secret") {
		ts.Fatalf("what the hub keeps and tells of the Secrets was not looked at")
	}
}
