package agent

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/object"
	"nave.dev/internal/spoke"
	"nave.dev/internal/tunnel"
)

// identitySecret is where an agent keeps its key and certificate. They never leave
// the cluster, not even in a backup.
const identitySecret = "nave-agent-identity"

// identityTime bounds one use of that Secret: the connection to the hub waits for it.
const identityTime = 30 * time.Second

var errIdentity = fmt.Errorf("the cluster did not answer within %s", identityTime)

// identity keeps credentials in a Secret of the cluster.
type identity struct {
	client kubernetes.Interface
	until  func(time.Time) // is told when a certificate that is read ends
}

// Load implements tunnel.Keeper.
func (k identity) Load(ctx context.Context) (tunnel.Credentials, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, identityTime, errIdentity)
	defer cancel()
	secret, err := k.client.CoreV1().Secrets(spoke.Namespace).Get(ctx, identitySecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return tunnel.Credentials{}, nil
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return tunnel.Credentials{}, fmt.Errorf("reading the agent's identity: %w", err)
	}
	if block, _ := pem.Decode(secret.Data["certificate"]); block != nil {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			k.until(certificate.NotAfter)
		}
	}
	return tunnel.Credentials{
		Key: secret.Data["key"], Certificate: secret.Data["certificate"], Roots: secret.Data["roots"], Next: secret.Data["next"],
	}, nil
}

// Store implements tunnel.Keeper.
func (k identity) Store(ctx context.Context, c tunnel.Credentials) error {
	ctx, cancel := context.WithTimeoutCause(ctx, identityTime, errIdentity)
	defer cancel()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: spoke.Namespace, Name: identitySecret, Labels: map[string]string{"velero.io/exclude-from-backup": "true"},
		},
		Data: map[string][]byte{"key": c.Key, "certificate": c.Certificate, "roots": c.Roots, "next": c.Next},
	}
	api := k.client.CoreV1().Secrets(spoke.Namespace)
	_, err := api.Update(ctx, secret, metav1.UpdateOptions{FieldManager: object.FieldManager})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(ctx, secret, metav1.CreateOptions{FieldManager: object.FieldManager})
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("keeping the agent's identity: %w", err)
	}
	return nil
}
