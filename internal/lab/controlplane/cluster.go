// Package controlplane runs real Kubernetes control planes as processes of
// this machine: API server, controller manager, scheduler, and kwok in place of
// the kubelets, over an etcd that clusters may share. A Cluster is data: from
// it follow the keys, the processes and the first objects, so that starting is
// idempotent and a stopped cluster comes back as it was. The package does not
// remember which clusters exist; its callers do.
package controlplane

import (
	"fmt"
	"path/filepath"

	"nave.dev/internal/lab/process"
)

// The components of a cluster, in the order in which they start.
const (
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

// Components returns the names of all components, in the order they start.
func Components() []string {
	return []string{APIServer, ControllerManager, Scheduler, Kwok}
}

// Cluster is a control plane as data.
type Cluster struct {
	Name  string // also its key prefix in etcd
	Dir   string // keys, kubeconfigs, logs
	Etcd  Etcd
	Ports Ports
	// ServerPort is the loopback port by which others reach the API server: a
	// proxy's that can cut them off. 0 means the API server's own.
	ServerPort int
	Nodes      []NodePool
	Pods       PodTiming
	// Bare leaves an API server alone: no controllers, scheduler or nodes.
	Bare bool
}

// Ports are the loopback ports of a cluster's components.
type Ports struct {
	APIServer         int `json:"apiServer"`
	ControllerManager int `json:"controllerManager,omitempty"`
	Scheduler         int `json:"scheduler,omitempty"`
	Kwok              int `json:"kwok,omitempty"`
}

// Components returns the names of the cluster's components, in the order they start.
func (c Cluster) Components() []string {
	if c.Bare {
		return []string{APIServer}
	}
	return Components()
}

// ProcessName returns the name of a component's process.
func (c Cluster) ProcessName(component string) string { return c.Name + "/" + component }

// Server is the address by which others reach the API server.
func (c Cluster) Server() string {
	if c.ServerPort != 0 {
		return loopback(c.ServerPort)
	}
	return loopback(c.Ports.APIServer)
}

// AdminKubeconfig is the file with a cluster administrator's credentials, by
// way of the port that others use.
func (c Cluster) AdminKubeconfig() string { return filepath.Join(c.Dir, "admin.kubeconfig") }

// directKubeconfig is the same by way of the API server's own port.
func (c Cluster) directKubeconfig() string { return filepath.Join(c.Dir, "direct.kubeconfig") }

func (c Cluster) componentKubeconfig(component string) string {
	return filepath.Join(c.Dir, component+".kubeconfig")
}

func (c Cluster) pki(file string) string { return filepath.Join(c.Dir, "pki", file) }

// LogFile is where a component's output goes.
func (c Cluster) LogFile(component string) string { return filepath.Join(c.Dir, component+".log") }

// Process returns one component as a process.
func (c Cluster) Process(component string, bin Binaries) process.Spec {
	spec := process.Spec{
		Name: c.ProcessName(component),
		Path: bin.Kube,
		Log:  c.LogFile(component),
		// A smaller heap for more collection: two dozen clusters share the machine.
		Env: []string{"GOGC=50"},
	}
	switch component {
	case APIServer:
		spec.Args = c.apiServerArgs()
	case ControllerManager:
		spec.Args = c.controllerManagerArgs()
	case Scheduler:
		spec.Args = c.schedulerArgs()
	case Kwok:
		spec.Path = bin.Kwok
		spec.Args = c.kwokArgs()
	default:
		panic(fmt.Sprintf("no component %q", component))
	}
	return spec
}

func (c Cluster) apiServerArgs() []string {
	return []string{
		APIServer,
		"--etcd-servers=" + loopback(c.Etcd.ClientPort),
		"--etcd-prefix=" + etcdPrefix(c.Name),
		"--etcd-cafile=" + c.Etcd.pki("ca.crt"),
		"--etcd-certfile=" + c.Etcd.pki(c.Etcd.clientName("lab")+".crt"),
		"--etcd-keyfile=" + c.Etcd.pki(c.Etcd.clientName("lab")+".key"),
		// Object counts and database sizes are metrics that nobody here reads.
		"--etcd-count-metric-poll-period=0",
		"--etcd-db-metric-poll-interval=0",
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.Ports.APIServer),
		// The address of a loopback server means nothing inside a cluster.
		"--endpoint-reconciler-type=none",
		"--client-ca-file=" + c.pki("ca.crt"),
		"--tls-cert-file=" + c.pki("apiserver.crt"),
		"--tls-private-key-file=" + c.pki("apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.pki("service-account.pub"),
		"--service-account-signing-key-file=" + c.pki("service-account.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=RBAC",
		"--anonymous-auth=false",
		"--allow-privileged=true",
		"--v=1",
	}
}

// controllers are those that act on what a fleet repository holds; the ones
// left out serve clouds, disks and node addresses that a lab does not have.
const controllers = "--controllers=" +
	"certificatesigningrequest-approving-controller,certificatesigningrequest-cleaner-controller," +
	"certificatesigningrequest-signing-controller,clusterrole-aggregation-controller,cronjob-controller," +
	"daemonset-controller,deployment-controller,disruption-controller,endpointslice-controller," +
	"ephemeral-volume-controller,garbage-collector-controller,horizontal-pod-autoscaler-controller," +
	"job-controller,namespace-controller,node-lifecycle-controller,persistentvolume-binder-controller," +
	"persistentvolume-protection-controller,persistentvolumeclaim-protection-controller," +
	"pod-garbage-collector-controller,replicaset-controller,replicationcontroller-controller," +
	"resourcequota-controller,root-ca-certificate-publisher-controller,serviceaccount-controller," +
	"serviceaccount-token-controller,statefulset-controller,taint-eviction-controller," +
	"ttl-after-finished-controller,validatingadmissionpolicy-status-controller"

func (c Cluster) controllerManagerArgs() []string {
	kubeconfig := c.componentKubeconfig(ControllerManager)
	return []string{
		ControllerManager,
		"--kubeconfig=" + kubeconfig,
		"--authentication-skip-lookup",
		"--client-ca-file=" + c.pki("ca.crt"),
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.Ports.ControllerManager),
		"--tls-cert-file=" + c.pki("apiserver.crt"),
		"--tls-private-key-file=" + c.pki("apiserver.key"),
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.pki("service-account.key"),
		"--root-ca-file=" + c.pki("ca.crt"),
		"--cluster-signing-cert-file=" + c.pki("ca.crt"),
		"--cluster-signing-key-file=" + c.pki("ca.key"),
		controllers,
		"--v=1",
	}
}

func (c Cluster) schedulerArgs() []string {
	kubeconfig := c.componentKubeconfig(Scheduler)
	return []string{
		Scheduler,
		"--kubeconfig=" + kubeconfig,
		"--authentication-skip-lookup",
		"--client-ca-file=" + c.pki("ca.crt"),
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.Ports.Scheduler),
		"--tls-cert-file=" + c.pki("apiserver.crt"),
		"--tls-private-key-file=" + c.pki("apiserver.key"),
		"--leader-elect=false",
		"--v=1",
	}
}

func (c Cluster) kwokArgs() []string {
	return []string{
		"--kubeconfig=" + c.componentKubeconfig(Kwok),
		"--config=" + c.stagesFile(),
		"--manage-all-nodes",
		"--node-lease-duration-seconds=40",
		"--cidr=10.244.0.0/16",
		"--node-ip=127.0.0.1",
		fmt.Sprintf("--server-address=127.0.0.1:%d", c.Ports.Kwok),
		"--v=error",
	}
}
