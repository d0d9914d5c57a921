package testenv

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"nave.dev/internal/lab/controlplane"
)

func TestMain(m *testing.M) { Main(m) }

// eventually waits until the condition returns nothing, and otherwise fails
// with what it said last.
func eventually(t *testing.T, what string, condition func(ctx context.Context) string) {
	t.Helper()
	last := ""
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 90*time.Second, true, func(ctx context.Context) (bool, error) {
		last = condition(ctx)
		return last == "", nil
	})
	if err != nil {
		t.Fatalf("waiting until %s: %s", what, last)
	}
}

func TestSharedAPIServer(t *testing.T) {
	began := time.Now()
	first, second := New(t), New(t)
	t.Logf("ready after %.1f s", time.Since(began).Seconds())
	if first.Cluster.Name != second.Cluster.Name || first.Prefix == second.Prefix {
		t.Errorf("clusters %q and %q, prefixes %q and %q: want one server and two prefixes",
			first.Cluster.Name, second.Cluster.Name, first.Prefix, second.Prefix)
	}
	namespace := first.Namespace(t)
	client := kubernetes.NewForConfigOrDie(first.Config)
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: first.Prefix}, Data: map[string]string{"a": "b"}}
	if _, err := client.CoreV1().ConfigMaps(namespace).Create(t.Context(), configMap, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil || version.GitVersion != "v1.36.3" {
		t.Errorf("version %v, %v", version, err)
	}
}

func TestNobodyIsLetInWithoutACertificate(t *testing.T) {
	env := New(t)
	anonymous := rest.AnonymousClientConfig(env.Config)
	_, err := kubernetes.NewForConfigOrDie(anonymous).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("anonymous list: %v, want unauthorized", err)
	}
	stranger := controlplane.Etcd{Name: "stranger", Dir: t.TempDir(), ClientPort: env.Cluster.Etcd.ClientPort}
	if err := stranger.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := stranger.Ready(t.Context()); err == nil {
		t.Error("etcd answered a client of another authority")
	}
}

func pod(annotations map[string]string, labels map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Annotations: annotations, Labels: labels},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "main", Image: "example.org/app:1",
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
			}},
		},
	}
}

func TestCluster(t *testing.T) {
	env := NewCluster(t)
	client := kubernetes.NewForConfigOrDie(env.Config)
	namespace := env.Namespace(t)
	quick := map[string]string{controlplane.StartAnnotation: "100ms", controlplane.RunAnnotation: "100ms"}

	t.Run("a deployment spreads over the nodes", func(t *testing.T) {
		labels := map[string]string{"app": "web"}
		replicas := int32(3)
		template := pod(quick, labels)
		template.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: labels},
		}}
		web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template,
		}}
		if _, err := client.AppsV1().Deployments(namespace).Create(t.Context(), web, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "3 of 3 replicas are ready", func(ctx context.Context) string {
			d, err := client.AppsV1().Deployments(namespace).Get(ctx, "web", metav1.GetOptions{})
			if err != nil || d.Status.ReadyReplicas != 3 {
				return fmt.Sprint(d.Status, err)
			}
			return ""
		})
		pods, err := client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			t.Fatal(err)
		}
		nodes := map[string]bool{}
		for _, p := range pods.Items {
			nodes[p.Spec.NodeName] = true
		}
		if len(nodes) != 3 {
			t.Errorf("3 pods on %d nodes", len(nodes))
		}
	})

	t.Run("a job completes and a failing one fails", func(t *testing.T) {
		never := int32(0)
		for name, annotations := range map[string]map[string]string{
			"good": quick,
			"bad":  {controlplane.StartAnnotation: "100ms", controlplane.RunAnnotation: "100ms", controlplane.FailAnnotation: "exit"},
		} {
			template := pod(annotations, nil)
			template.Spec.RestartPolicy = corev1.RestartPolicyNever
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Template: template, BackoffLimit: &never}}
			if _, err := client.BatchV1().Jobs(namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "both jobs are decided", func(ctx context.Context) string {
			good, err := client.BatchV1().Jobs(namespace).Get(ctx, "good", metav1.GetOptions{})
			if err != nil || good.Status.Succeeded != 1 {
				return fmt.Sprint("good: ", good.Status, err)
			}
			bad, err := client.BatchV1().Jobs(namespace).Get(ctx, "bad", metav1.GetOptions{})
			if err != nil || bad.Status.Failed != 1 {
				return fmt.Sprint("bad: ", bad.Status, err)
			}
			return ""
		})
	})

	t.Run("annotations make pods fail", func(t *testing.T) {
		for _, fail := range []struct {
			how    string
			phase  corev1.PodPhase
			reason string // of the waiting container
		}{
			{how: "image-pull", phase: corev1.PodPending, reason: "ImagePullBackOff"},
			{how: "never-ready", phase: corev1.PodRunning},
			{how: "crash-loop", phase: corev1.PodRunning, reason: "CrashLoopBackOff"},
		} {
			template := pod(map[string]string{controlplane.FailAnnotation: fail.how}, nil)
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fail.how, Annotations: template.Annotations}, Spec: template.Spec}
			if _, err := client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the pod fails by "+fail.how, func(ctx context.Context) string {
				p, err := client.CoreV1().Pods(namespace).Get(ctx, fail.how, metav1.GetOptions{})
				if err != nil || p.Status.Phase != fail.phase || len(p.Status.ContainerStatuses) != 1 {
					return fmt.Sprint(p.Status, err)
				}
				container := p.Status.ContainerStatuses[0]
				reason := ""
				if container.State.Waiting != nil {
					reason = container.State.Waiting.Reason
				}
				if container.Ready || reason != fail.reason || fail.how == "crash-loop" && container.RestartCount < 2 {
					return fmt.Sprint(container)
				}
				return ""
			})
		}
	})

	t.Run("a claim binds when its pod is scheduled, and its volume goes with it", func(t *testing.T) {
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		}}
		if _, err := client.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), claim, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		template := pod(quick, nil)
		template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}}
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "with-volume", Annotations: template.Annotations}, Spec: template.Spec}
		if _, err := client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the claim is bound and the pod runs", func(ctx context.Context) string {
			claim, err := client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, "data", metav1.GetOptions{})
			if err != nil || claim.Status.Phase != corev1.ClaimBound {
				return fmt.Sprint(claim.Status, err)
			}
			p, err := client.CoreV1().Pods(namespace).Get(ctx, "with-volume", metav1.GetOptions{})
			if err != nil || p.Status.Phase != corev1.PodRunning {
				return fmt.Sprint(p.Status, err)
			}
			return ""
		})
		if err := client.CoreV1().Pods(namespace).Delete(t.Context(), "with-volume", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := client.CoreV1().PersistentVolumeClaims(namespace).Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the volume is gone", func(ctx context.Context) string {
			volumes, err := client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
			if err != nil || len(volumes.Items) > 0 {
				return fmt.Sprint(volumes.Items, err)
			}
			return ""
		})
	})
}
