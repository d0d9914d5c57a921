package controlplane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// prepare writes what the processes read: keys, kubeconfigs and pod stages.
// What is there already stays, but for what follows from the ports and timing.
func (c Cluster) prepare() error {
	ca, err := openAuthority(c.pki(""), c.Name+" authority")
	if err != nil {
		return err
	}
	server := subject{
		name: APIServer, server: true,
		extra: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
	}
	if _, _, err := ca.issue("apiserver", server); err != nil {
		return err
	}
	if err := c.prepareServiceAccountKey(); err != nil {
		return err
	}
	for file, user := range map[string]subject{
		c.AdminKubeconfig():                      {name: "lab-admin", groups: []string{"system:masters"}},
		c.directKubeconfig():                     {name: "lab-admin", groups: []string{"system:masters"}},
		c.componentKubeconfig(ControllerManager): {name: "system:kube-controller-manager"},
		c.componentKubeconfig(Scheduler):         {name: "system:kube-scheduler"},
		c.componentKubeconfig(Kwok):              {name: kwokUser},
	} {
		server := loopback(c.Ports.APIServer)
		if file == c.AdminKubeconfig() {
			server = c.Server()
		}
		if err := c.writeKubeconfig(ca, file, user, server); err != nil {
			return err
		}
	}
	return writeOwn(c.stagesFile(), c.Pods.stages())
}

func (c Cluster) prepareServiceAccountKey() error {
	if _, err := os.Stat(c.pki("service-account.pub")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	if err := writeKey(c.pki("service-account.key"), key); err != nil {
		return err
	}
	return writePublicKey(c.pki("service-account.pub"), key)
}

func (c Cluster) writeKubeconfig(ca *authority, file string, user subject, server string) error {
	cert, key, err := ca.issue(user.name, user)
	if err != nil {
		return err
	}
	return c.writeAccess(file, server, user.name, &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key})
}

// WriteAccountKubeconfig writes the file by which a process reaches the API server
// as a pod of the cluster does: by no proxy, with a token that is in a file.
func (c Cluster) WriteAccountKubeconfig(file, token string) error {
	return c.writeAccess(file, loopback(c.Ports.APIServer), "account", &clientcmdapi.AuthInfo{TokenFile: token})
}

// writeAccess writes a kubeconfig for one user.
func (c Cluster) writeAccess(file, server, user string, auth *clientcmdapi.AuthInfo) error {
	caPEM, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[c.Name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: caPEM}
	config.AuthInfos[user] = auth
	config.Contexts[c.Name] = &clientcmdapi.Context{Cluster: c.Name, AuthInfo: user}
	config.CurrentContext = c.Name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("writing the kubeconfig of %s for %s: %w", c.Name, user, err)
	}
	return writeOwn(file, data)
}

func (c Cluster) stagesFile() string { return filepath.Join(c.Dir, "stages.yaml") }

// stagesDiffer reports whether the stages on disk are not those of the
// cluster's timing.
func (c Cluster) stagesDiffer() bool {
	data, err := os.ReadFile(c.stagesFile())
	return err != nil || !bytes.Equal(data, c.Pods.stages())
}
