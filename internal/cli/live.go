package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"nave.dev/internal/hub"
	"nave.dev/internal/hub/asking"
	"nave.dev/internal/live"
)

// refArgs reads KIND/NAME or KIND NAME.
func refArgs(args []string, namespace string) (live.Ref, error) {
	text := strings.Join(args, "/")
	kind, name, ok := strings.Cut(text, "/")
	if !ok || kind == "" || name == "" || strings.Contains(name, "/") {
		return live.Ref{}, &UsageError{fmt.Errorf("%q is not KIND/NAME\nhint: deployment/web, or deployment web", text)}
	}
	return live.Ref{Kind: kind, Namespace: namespace, Name: name}, nil
}

// livePath is where the hub passes a question to a cluster on.
func livePath(cluster, question string, form url.Values) string {
	form.Set("cluster", cluster)
	return "/api/v1/live/" + question + "?" + form.Encode()
}

func newGet(s *settings) *cobra.Command {
	var (
		cluster, namespace string
		managers, events   bool
	)
	command := s.outputFlag(&cobra.Command{
		Use:   "get KIND/NAME [-n NAMESPACE] --cluster NAME [--events]",
		Short: "Show an object as it is on a cluster now, or Kubernetes' events of it",
		Long: `get reads one object of a cluster, of any kind, by the hub's way to the cluster. Values of
Secrets are veiled, also in objects that were encrypted in Git or that take values from
a Secret. It is YAML unless -o json. With --events it lists Kubernetes' events of the
object, newest first. An agent started with --refuse object or events does not answer.`,
		Example: "  nave get deployment/web -n shop --cluster prod-us-1\n  nave get node node-1 --cluster prod-us-1 -o json\n  nave get pod/web-0 -n shop --cluster prod-us-1 --events",
		Args:    arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := refArgs(args, namespace)
			if err != nil {
				return err
			}
			form := ref.Form()
			if events {
				found := []live.Event{}
				if err := s.client().ask(cmd.Context(), cluster, live.EventsQuestion, form, &found); err != nil {
					return err
				}
				return s.print(cmd.OutOrStdout(), found, func(w io.Writer) { writeObjectEvents(w, found) })
			}
			form.Set("managedFields", fmt.Sprint(managers))
			var found live.Object
			if err := s.client().ask(cmd.Context(), cluster, live.ObjectQuestion, form, &found); err != nil {
				return err
			}
			if found.Veiled != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "values are veiled: %s\n", found.Veiled)
			}
			if s.output == "" { // an object is no table
				text, err := yaml.Marshal(found.Object)
				if err == nil {
					_, err = cmd.OutOrStdout().Write(text)
				}
				return err
			}
			return s.print(cmd.OutOrStdout(), found.Object, nil)
		},
	})
	flags := command.Flags()
	flags.StringVar(&cluster, "cluster", "", "the cluster")
	flags.StringVarP(&namespace, "namespace", "n", "default", "namespace of the object")
	flags.BoolVar(&managers, "show-managed-fields", false, "with what each manager owns")
	flags.BoolVar(&events, "events", false, "Kubernetes' events of the object")
	command.MarkFlagRequired("cluster")
	return command
}

func writeObjectEvents(w io.Writer, events []live.Event) {
	fmt.Fprintln(w, "TIME\tTYPE\tREASON\tCOUNT\tSOURCE\tMESSAGE")
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", e.Time.Local().Format(time.DateTime), e.Type, e.Reason, e.Count, e.Source, strings.Join(strings.Fields(e.Message), " "))
	}
}

func newLogs(s *settings) *cobra.Command {
	var (
		request            live.LogRequest
		cluster, namespace string
		times              bool
	)
	command := &cobra.Command{
		Use:   "logs POD|KIND/NAME [-n NAMESPACE] --cluster NAME [-f]",
		Short: "Show the logs of a pod, or of the pods of a workload",
		Long: `logs shows the logs of a pod, or of those pods that a Deployment, a Job, a Service or
any other object with a selector selects, each line then with the pod before it. It is
the pod's default container unless told otherwise, and at most 20 containers. An answer
has at most 10 MiB; a longer one says that it ends there. With -f it goes on, also with
pods that come later. An agent started with --refuse logs does not answer.`,
		Example: "  nave logs web-0 -n shop --cluster prod-us-1\n  nave logs deployment/web -n shop --cluster prod-us-1 -f --since 10m",
		Args:    arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && !strings.Contains(args[0], "/") {
				args = []string{"pod", args[0]}
			}
			var err error
			if request.Ref, err = refArgs(args, namespace); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			end, err := live.Follow(cmd.Context(), request, func(ctx context.Context, r live.LogRequest) (io.ReadCloser, error) {
				return s.client().open(ctx, livePath(cluster, live.LogsQuestion, r.Form()))
			}, func(e live.Entry) error {
				if e.Note != "" {
					fmt.Fprintln(cmd.ErrOrStderr(), e.Note)
					return nil
				}
				_, err := fmt.Fprintln(out, logLine(e, times, !strings.EqualFold(request.Ref.Kind, "pod")))
				return err
			})
			if errors.Is(err, errNobody) {
				return nobody(hub.Action{Cluster: cluster})
			}
			if err == nil && end.Reason == live.AtLimit {
				fmt.Fprintf(cmd.ErrOrStderr(), "an answer has at most %d MiB, and there is more\nhint: --tail or --since\n", live.MaxLogs>>20)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.StringVar(&cluster, "cluster", "", "the cluster")
	flags.StringVarP(&namespace, "namespace", "n", "default", "namespace of the pod or workload")
	flags.StringVarP(&request.Container, "container", "c", "", "the container (default: the pod's own default)")
	flags.BoolVar(&request.AllContainers, "all-containers", false, "all containers of each pod")
	flags.BoolVarP(&request.Previous, "previous", "p", false, "of the instance before")
	flags.DurationVar(&request.Since, "since", 0, "only lines that are not older, such as 10m")
	flags.Int64Var(&request.Tail, "tail", 1000, "last lines of each container; -1 is all")
	flags.BoolVarP(&request.Follow, "follow", "f", false, "go on as lines come")
	flags.BoolVar(&times, "timestamps", false, "with the time of each line")
	command.MarkFlagRequired("cluster")
	return command
}

// logLine is a line of a log as people read it.
func logLine(e live.Entry, times, pods bool) string {
	line := e.Text
	if e.Cut {
		line += " […]"
	}
	if times {
		line = e.Time.Format(time.RFC3339Nano) + " " + line
	}
	if pods {
		line = "[" + e.Pod + "/" + e.Container + "] " + line
	}
	return line
}

func newQuery(s *settings) *cobra.Command {
	var (
		query   live.Query
		cluster string
		at      string
	)
	command := s.outputFlag(&cobra.Command{
		Use:   "query PROMQL [--cluster NAME] [--range 1h --step 1m]",
		Short: "Put a query to the Prometheus of each cluster",
		Long: `query asks the Prometheus that runs on each cluster, or on one, and shows the answers
side by side. Where it is is said to the agent, by nave agent --metrics, and for clusters
with a kubeconfig to the hub. Clusters that gave no answer are named, and the exit code
is 1 then. An agent started with --refuse metrics does not answer.`,
		Example: "  nave query up\n  nave query 'sum by (namespace) (kube_pod_info)' --cluster prod-us-1\n  nave query 'rate(http_requests_total[5m])' --range 1h --step 1m -o json",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query.Text = args[0]
			if at != "" {
				moment, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return &UsageError{fmt.Errorf("--time %q is not as 2026-01-31T12:00:00Z", at)}
				}
				query.Time = moment
			}
			form := query.Form()
			form.Set("cluster", cluster)
			var found asking.Queried
			err := s.client().call(cmd.Context(), http.MethodGet, "/api/v1/query?"+form.Encode(), nil, &found)
			if errors.Is(err, errNobody) {
				return nobody(hub.Action{Cluster: cluster})
			}
			if err != nil {
				return err
			}
			if err := s.print(cmd.OutOrStdout(), found, func(w io.Writer) { writeQueried(w, found.Results) }); err != nil {
				return err
			}
			for _, result := range found.Results {
				for _, warning := range result.Warnings {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", result.Cluster, warning)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(found.Errors)) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", name, strings.ReplaceAll(found.Errors[name], "\n", "\n  "))
			}
			if len(found.Errors) > 0 {
				return fmt.Errorf("%s gave no answer", count(len(found.Errors), "cluster"))
			}
			return nil
		},
	})
	flags := command.Flags()
	flags.StringVar(&cluster, "cluster", "", "only there")
	flags.StringVar(&at, "time", "", "the moment that is asked about (default: now)")
	flags.DurationVar(&query.Range, "range", 0, "ask about that long before as well, such as 1h")
	flags.DurationVar(&query.Step, "step", time.Minute, "time between two values of a range")
	return command
}

func writeQueried(w io.Writer, results []asking.ClusterResult) {
	fmt.Fprintln(w, "CLUSTER\tSERIES\tTIME\tVALUE")
	for _, result := range results {
		for _, series := range result.Series {
			var labels []string
			for _, name := range slices.Sorted(maps.Keys(series.Labels)) {
				if name != "__name__" {
					labels = append(labels, fmt.Sprintf("%s=%q", name, series.Labels[name]))
				}
			}
			for _, point := range series.Points {
				fmt.Fprintf(w, "%s\t%s{%s}\t%s\t%s\n", result.Cluster, series.Labels["__name__"], strings.Join(labels, ","), point.Time.Local().Format(time.DateTime), point.Value)
			}
		}
	}
}

// ask puts a question to a cluster.
func (c *client) ask(ctx context.Context, cluster, question string, form url.Values, into any) error {
	err := c.call(ctx, http.MethodGet, livePath(cluster, question, form), nil, into)
	if errors.Is(err, errNobody) {
		return nobody(hub.Action{Cluster: cluster})
	}
	return err
}

// open asks for an answer that is read as it comes. The caller closes it.
func (c *client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	response, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}
