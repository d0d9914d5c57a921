package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Binaries are the programs that clusters are made of.
type Binaries struct {
	Kube string // etcd and the Kubernetes control plane in one
	Kwok string // plays the kubelets
}

// FindBinaries returns the programs in dir, or says how to build them.
func FindBinaries(dir string) (Binaries, error) {
	bin := Binaries{Kube: filepath.Join(dir, "kube"), Kwok: filepath.Join(dir, "kwok")}
	for _, file := range []string{bin.Kube, bin.Kwok} {
		if _, err := os.Stat(file); err != nil {
			return Binaries{}, fmt.Errorf("finding the control-plane binaries: %w\nhint: make build puts them in bin/", err)
		}
	}
	return bin, nil
}

// run runs one of etcd's own commands to its end.
func (b Binaries) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, b.Kube, args...)
	// Variables such as ETCDCTL_ENDPOINTS, meant for another etcd, do not count.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("running %s: %w", args[0], err), errors.New(lastLine(output.Bytes())))
	}
	return nil
}

func lastLine(output []byte) string {
	output = bytes.TrimSpace(output)
	return string(output[bytes.LastIndexByte(output, '\n')+1:])
}
