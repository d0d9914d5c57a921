package live

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"nave.dev/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// TestCluster reads a Secret without its values, and the logs of a pod through a real
// API server from what plays the kubelet, and ends the kubelet's answer when who
// follows goes away.
func TestCluster(t *testing.T) {
	env := testenv.New(t)
	namespace := env.Namespace(t)
	client := kubernetes.NewForConfigOrDie(env.Config)
	gone := make(chan struct{})
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two\n")
		if r.FormValue("follow") == "true" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(gone)
		}
	}))
	defer kubelet.Close()
	address, _ := url.Parse(kubelet.URL)
	host, text, err := net.SplitHostPort(address.Host)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(text)
	node, err := client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: env.Prefix}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	if _, err := client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		create(client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})),
		create(client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "key"}, StringData: map[string]string{"password": "hunter2"},
		}, metav1.CreateOptions{})),
		create(client.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web"}},
			Spec:       corev1.PodSpec{NodeName: env.Prefix, Containers: []corev1.Container{{Name: "main", Image: "example.org/web:1"}}},
		}, metav1.CreateOptions{})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := New(Options{Config: env.Config})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.Serve(strings.TrimPrefix(r.URL.Path, "/"), w, r)
	}))
	defer server.Close()
	ask := func(ctx context.Context, question string, form url.Values) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/"+question+"?"+form.Encode(), nil)
		if err != nil {
			return nil, err
		}
		return http.DefaultClient.Do(request)
	}
	secret, err := ask(t.Context(), ObjectQuestion, Ref{"secrets", namespace, "key"}.Form())
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Body.Close()
	data, _ := io.ReadAll(secret.Body)
	if got := string(data); !strings.Contains(got, `"password":"redacted"`) || strings.Contains(got, "aHVudGVyMg") || strings.Contains(got, "managedFields") {
		t.Errorf("%s", got)
	}
	open := func(ctx context.Context, r LogRequest) (io.ReadCloser, error) {
		response, err := ask(ctx, LogsQuestion, r.Form())
		if err != nil {
			return nil, err
		}
		return response.Body, nil
	}
	request := LogRequest{Ref: Ref{"po", namespace, "web"}, Tail: -1, After: map[string]time.Time{"web/main": time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC)}}
	var shown []string
	end, err := Follow(t.Context(), request, open, func(e Entry) error {
		shown = append(shown, e.Text+e.Note)
		return nil
	})
	if err != nil || end.Reason != Complete || strings.Join(shown, ",") != "two" {
		t.Errorf("shown %q, end %+v, error %v; want the line after the one that is known", shown, end, err)
	}
	request.Follow, request.After = true, nil
	ctx, leave := context.WithCancel(t.Context())
	if _, err := Follow(ctx, request, open, func(e Entry) error {
		if e.Text == "two" {
			leave()
		}
		return nil
	}); err == nil {
		t.Error("who went away was told an end")
	}
	<-gone
}

func create[T any](_ T, err error) error { return err }
