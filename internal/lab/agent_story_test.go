package lab_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
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

// agents has the next hubs take agents, at an address that it chooses.
func agents(ts *testscript.TestScript, _ bool, _ []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer listener.Close()
	ts.Setenv("AGENTS", listener.Addr().String())
}

// start-agent CLUSTER [ARGUMENT…] starts the agent of a cluster as a process, with
// the rights of the service account that the manifest of nave cluster join makes.
// The first time it applies that.
func startAgent(ts *testscript.TestScript, _ bool, args []string) {
	cluster, running := args[0], ts.Value(agentsKey{}).(agentProcesses)
	dir := filepath.Join(ts.Getenv("WORK"), "agent-"+cluster)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if _, err := os.Stat(kubeconfig); err != nil {
		ts.Check(os.MkdirAll(dir, 0o700))
		join(ts, cluster, dir)
	}
	cmd := program(ts, "nave", append([]string{"agent", "--hub", ts.Getenv("AGENTS"), "--cluster", cluster, "--kubeconfig", kubeconfig,
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
	ts.Check(os.WriteFile(manifest, []byte(must(ts, "nave", "cluster", "join", cluster, "--hub", ts.Getenv("AGENTS"))), 0o600))
	kubectl("apply", "-f", manifest)
	for _, name := range []string{"token", "roots.pem"} {
		text := kubectl("-n", "nave-system", "get", "secret", "nave-agent-token", "-o", fmt.Sprintf(`go-template={{index .data %q | base64decode}}`, name))
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	account := kubectl("-n", "nave-system", "create", "token", "nave-agent", "--duration", "1h")
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
