// Command kube is a Kubernetes control plane in one binary: its first argument
// names the component, the rest are that component's own arguments. One binary
// links several times faster than five, and its pages are shared by all
// processes of all clusters on a machine.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	_ "time/tzdata" // time zones of CronJobs

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/etcdutl/v3/etcdutl"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"nave.dev/kube/gate"
)

var components = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"etcdctl":                 func() { ctlv3.MustStart() },
	"etcdutl":                 etcdutlMain,
	"kube-apiserver":          func() { os.Exit(cli.Run(apiserver.NewAPIServerCommand())) },
	"kube-controller-manager": func() { os.Exit(cli.Run(controllermanager.NewControllerManagerCommand())) },
	"kube-scheduler":          func() { os.Exit(cli.Run(scheduler.NewSchedulerCommand())) },
}

func main() {
	gate.Wait()
	if len(os.Args) > 1 {
		if run := components[os.Args[1]]; run != nil {
			os.Args = os.Args[1:]
			run()
			return
		}
	}
	names := make([]string, 0, len(components))
	for name := range components {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: kube COMPONENT [ARGUMENT…]\ncomponents: %s\n", strings.Join(names, ", "))
	os.Exit(2)
}

func etcdutlMain() {
	root := &cobra.Command{Use: "etcdutl"}
	root.AddCommand(etcdutl.NewSnapshotCommand())
	if root.Execute() != nil {
		os.Exit(1)
	}
}
