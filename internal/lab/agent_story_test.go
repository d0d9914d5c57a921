package lab_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nave.dev/internal/lab/proxy"
)

type agentsKey struct{}

// agentProcesses are the story's agents that run, by cluster.
type agentProcesses map[string]*exec.Cmd

func (a agentProcesses) stop() {
	for _, cmd := range a {
		cmd.Process.Kill()
		cmd.Wait()
	}
}

type lineKey struct{}

// line is the network between the story's agents and its hub.
type line struct{ *proxy.Proxy }

// agents has the next hubs take agents, at an address that it chooses, and agents
// reach it by a line that can be cut. For people there is another address.
func agents(ts *testscript.TestScript, _ bool, _ []string) {
	hub, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer hub.Close()
	people, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer people.Close()
	ts.Setenv("API", people.Addr().String())
	front, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("AGENTS", hub.Addr().String())
	ts.Setenv("LINE", front.Addr().String())
	between := proxy.New(hub.Addr().String())
	ts.Value(lineKey{}).(*line).Proxy = between
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		between.Serve(ctx, front)
	}()
	ts.Defer(func() { cancel(); <-ended })
}

// cut [up|down] holds back every byte between agents and hub until mend, or those of
// one direction: up is to the hub.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	link := proxy.Link{Partitioned: true}
	if len(args) > 0 {
		link.OneWay = proxy.Direction(args[0])
	}
	ts.Value(lineKey{}).(*line).SetLink(link)
}

// slow has 50 kB/s pass in each direction, each after 250 ms, until mend.
func slow(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Value(lineKey{}).(*line).SetLink(proxy.Link{Latency: 250 * time.Millisecond, Rate: 50_000})
}

func mend(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Value(lineKey{}).(*line).SetLink(proxy.Link{})
}

// limit-agent CLUSTER nofile|fsize N|unlimited limits what a running agent may use.
func limitAgent(ts *testscript.TestScript, _ bool, args []string) {
	cmd := ts.Value(agentsKey{}).(agentProcesses)[args[0]]
	if cmd == nil {
		ts.Fatalf("no agent of %s runs", args[0])
	}
	limit(ts, cmd.Process.Pid, args[1], args[2])
}

// start-agent CLUSTER [ARGUMENT…] starts the agent of a cluster as a process, with
// the rights of the service account that the manifest of nave cluster join makes.
// The first time it applies that, made with what JOIN has for nave cluster join.
func startAgent(ts *testscript.TestScript, _ bool, args []string) {
	cluster, running := args[0], ts.Value(agentsKey{}).(agentProcesses)
	dir := filepath.Join(ts.Getenv("WORK"), "agent-"+cluster)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if _, err := os.Stat(kubeconfig); err != nil {
		ts.Check(os.MkdirAll(dir, 0o700))
		join(ts, cluster, dir)
	}
	cmd := program(ts, "nave", append([]string{"agent", "--hub", ts.Getenv("LINE"), "--cluster", cluster, "--kubeconfig", kubeconfig,
		"--token-file", filepath.Join(dir, "token"), "--roots-file", filepath.Join(dir, "roots.pem")}, args[1:]...)...)
	log, err := os.OpenFile(filepath.Join(ts.Getenv("WORK"), "agent-"+cluster+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	running[cluster] = cmd
}

// join applies the manifest of an agent, and writes what the agent of a pod would
// find in its files.
func join(ts *testscript.TestScript, cluster, dir string) {
	admin := filepath.Join(ts.Getenv("KUBECONFIGS"), cluster+".kubeconfig")
	kubectl := func(args ...string) string {
		return must(ts, "kubectl", append([]string{"--kubeconfig", admin}, args...)...)
	}
	manifest := filepath.Join(dir, "manifest.yaml")
	ts.Check(os.WriteFile(manifest, []byte(must(ts, "nave", append([]string{"cluster", "join", cluster, "--hub", ts.Getenv("AGENTS")}, strings.Fields(ts.Getenv("JOIN"))...)...)), 0o600))
	kubectl("apply", "-f", manifest)
	for _, name := range []string{"token", "roots.pem"} {
		text := kubectl("-n", "nave-system", "get", "secret", "nave-agent-token", "-o", fmt.Sprintf(`go-template={{index .data %q | base64decode}}`, name))
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	writeAccount(ts, admin, dir)
}

// writeAccount writes a kubeconfig into a directory with which one is the agent's
// service account.
func writeAccount(ts *testscript.TestScript, admin, dir string) {
	account := must(ts, "kubectl", "--kubeconfig", admin, "-n", "nave-system", "create", "token", "nave-agent", "--duration", "1h")
	data, err := os.ReadFile(admin)
	ts.Check(err)
	// The file of the administrator, with the account's token in place of the key.
	var lines []string
	for line := range strings.Lines(string(data)) {
		switch key, _, _ := strings.Cut(strings.TrimSpace(line), ":"); key {
		case "client-key", "client-key-data":
			line = line[:strings.Index(line, key)] + "token: " + account + "\n"
		case "client-certificate", "client-certificate-data":
			continue
		}
		lines = append(lines, line)
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte(strings.Join(lines, "")), 0o600))
}

// start-lone CLUSTER starts an agent without a hub on the story's fleet repository: it
// applies what the chart comes to, and does what a kubelet would for the pod: the
// process has the arguments of its container, the rights of its account, and an empty
// directory for an empty volume. The agent's metrics and readiness are at LISTEN.
func startLone(ts *testscript.TestScript, _ bool, args []string) {
	cluster, running := args[0], ts.Value(agentsKey{}).(agentProcesses)
	dir := filepath.Join(ts.Getenv("WORK"), "lone")
	admin := filepath.Join(ts.Getenv("KUBECONFIGS"), cluster+".kubeconfig")
	kubectl := func(args ...string) string {
		return must(ts, "kubectl", append([]string{"--kubeconfig", admin, "-n", "nave-system"}, args...)...)
	}
	chart, err := filepath.Abs(filepath.Join("..", "..", "charts", "nave"))
	ts.Check(err)
	ts.Check(os.MkdirAll(dir, 0o700))
	manifest := filepath.Join(dir, "manifest.yaml")
	ts.Check(os.WriteFile(manifest, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: nave-system}\n---\n"+must(ts, "helm", "template", "nave", chart, "--namespace", "nave-system",
		"--set", "agent.enabled=true", "--set", "agent.cluster="+cluster, "--set", "agent.repository="+ts.Getenv("GIT")+"/fleet.git")), 0o600))
	kubectl("apply", "-f", manifest)
	writeAccount(ts, admin, dir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	listener.Close()
	ts.Setenv("LISTEN", listener.Addr().String())
	container := strings.Fields(kubectl("get", "deployment", "nave-agent", "-o", `go-template={{range (index .spec.template.spec.containers 0).args}}{{.}} {{end}}`))
	for i, arg := range container {
		container[i] = strings.NewReplacer("/var/cache/nave", ts.Getenv("NAVE_DIR"), "0.0.0.0:7480", listener.Addr().String()).Replace(arg)
	}
	cmd := program(ts, "nave", append(container, "--kubeconfig", filepath.Join(dir, "kubeconfig"))...)
	log, err := os.OpenFile(filepath.Join(ts.Getenv("WORK"), "agent-"+cluster+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	running[cluster] = cmd
}

// answers PATH STATUS asks the agent without a hub until it answers so.
func answers(ts *testscript.TestScript, _ bool, args []string) {
	var last string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		response, err := http.Get("http://" + ts.Getenv("LISTEN") + args[0])
		if err != nil {
			last = err.Error()
			continue
		}
		response.Body.Close()
		if last = strconv.Itoa(response.StatusCode); last == args[1] {
			return
		}
	}
	ts.Fatalf("%s answers %s, want %s", args[0], last, args[1])
}

// kill-agent CLUSTER ends an agent without a warning.
func killAgent(ts *testscript.TestScript, _ bool, args []string) {
	running := ts.Value(agentsKey{}).(agentProcesses)
	cmd := running[args[0]]
	if cmd == nil {
		ts.Fatalf("no agent of %s runs", args[0])
	}
	ts.Check(cmd.Process.Kill())
	cmd.Wait()
	delete(running, args[0])
}
