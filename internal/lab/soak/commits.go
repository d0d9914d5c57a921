package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"nave.dev/internal/lab"
)

// What is measured of commits.
const (
	appliedEverywhere = "commit applied on every cluster"
	appliedOne        = "commit applied on a cluster"
	noticed           = "commit to the README in force"
)

// commitLimit bounds how long a cluster may take to show a commit while nothing
// disturbs it.
const commitLimit = 3 * time.Minute

// committer changes the fleet repository.
type committer struct {
	*world
	dir   string
	rand  *rand.Rand
	edits []edit
	n     int     // commits made
	extra []extra // files that were added, oldest first
	head  string
}

// extra is an object that a commit added to an app of some clusters.
type extra struct {
	app, env, name string
}

// mostExtra bounds the objects that are added and not yet removed.
const mostExtra = 4

// run commits now and then until stop ends, and follows each commit to every
// cluster that is there.
func (c *committer) run(ctx, stop context.Context, gap time.Duration) error {
	for lab.Pause(stop, jitter(c.rand, gap)) == nil {
		var pushed time.Time
		what, expected, err := c.change()
		if err == nil {
			pushed, err = c.push(ctx, what)
		}
		if err != nil {
			return fmt.Errorf("commit %d (%s): %w", c.n, what, err)
		}
		c.count("commits, " + what)
		if expected == nil {
			c.followReadme(ctx, pushed)
			continue
		}
		c.expect(*expected)
		c.follow(ctx, *expected, pushed)
	}
	return nil
}

// change makes one change in the working copy and says what to expect of it;
// nothing, if it concerns no cluster.
func (c *committer) change() (what string, expected *expectation, err error) {
	c.n++
	switch kind := c.rand.IntN(10); {
	case kind == 0:
		return "README only", nil, appendTo(filepath.Join(c.dir, "README.md"), fmt.Sprintf("\nEdition %d.\n", c.n))
	case kind <= 2 && len(c.extra) < mostExtra:
		e, err := c.add()
		return "object added", e, err
	case kind <= 4 && len(c.extra) > 0:
		e, err := c.remove()
		return "object removed", e, err
	}
	edit := c.edits[c.rand.IntN(len(c.edits))]
	e, err := edit.apply(c.dir, c.n)
	return edit.what, &e, err
}

// add adds a ConfigMap to an app of one environment, of no more than half of the
// clusters: removing it from more would wait for confirmation.
func (c *committer) add() (*expectation, error) {
	var places []extra
	for _, env := range []string{"dev", "staging", "prod", "dr", "ephemeral"} {
		members := 0
		for _, cluster := range c.clusters {
			if cluster.env == env {
				members++
			}
		}
		if members > 0 && (2*members <= len(c.clusters) || len(c.clusters) < 4) {
			for _, app := range []string{"cart", "catalog", "storefront"} {
				places = append(places, extra{app: app, env: env})
			}
		}
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("no environment of the sample has few enough clusters for objects that come and go")
	}
	e := places[c.rand.IntN(len(places))]
	e.name = fmt.Sprintf("soak-%d", c.n)
	object := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: shop\ndata:\n  commit: %q\n", e.name, fmt.Sprint(c.n))
	if err := os.WriteFile(filepath.Join(c.overlay(e), e.name+".yaml"), []byte(object), 0o644); err != nil {
		return nil, err
	}
	c.extra = append(c.extra, e)
	return c.existence(e, present), rewrite(filepath.Join(c.overlay(e), "kustomization.yaml"), func(text string) string {
		return strings.Replace(text, "resources:\n", "resources:\n- "+e.name+".yaml\n", 1)
	})
}

// remove takes the oldest added object away.
func (c *committer) remove() (*expectation, error) {
	e := c.extra[0]
	c.extra = c.extra[1:]
	if err := os.Remove(filepath.Join(c.overlay(e), e.name+".yaml")); err != nil {
		return nil, err
	}
	return c.existence(e, absent), rewrite(filepath.Join(c.overlay(e), "kustomization.yaml"), func(text string) string {
		return strings.Replace(text, "- "+e.name+".yaml\n", "", 1)
	})
}

func (c *committer) overlay(e extra) string {
	return filepath.Join(c.dir, "apps", e.app, "overlays", e.env)
}

func (c *committer) existence(e extra, want string) *expectation {
	return &expectation{
		object: ref{configMaps, "shop", e.name}, field: existence, envs: []string{e.env}, want: want, commit: c.n,
		read: func(*unstructured.Unstructured) string { return present },
	}
}

// push commits everything and pushes it, and returns when the push began.
func (c *committer) push(ctx context.Context, message string) (began time.Time, err error) {
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", fmt.Sprintf("%s, number %d", message, c.n)}} {
		if _, err := git(ctx, c.dir, args...); err != nil {
			return began, err
		}
	}
	if c.head, err = git(ctx, c.dir, "rev-parse", "HEAD"); err != nil {
		return began, err
	}
	began = time.Now()
	_, err = git(ctx, c.dir, "push", "-q", "origin", "main")
	return began, err
}

// followReadme waits until the hub has the commit in force.
func (c *committer) followReadme(ctx context.Context, since time.Time) {
	restarts := c.hubRestarts()
	text := poll(ctx, 100*time.Millisecond, commitLimit, func(ctx context.Context) string {
		metrics, err := c.hubMetrics(ctx)
		if err != nil {
			return err.Error()
		}
		if !metrics.has("nave_revision_info", c.head) {
			return "another commit is in force"
		}
		return ""
	})
	switch {
	case ctx.Err() != nil:
	case text != "":
		c.blame("commit %d, of the README only, is not in force after %s: %s", c.n, commitLimit, text)
	case c.undisturbed(restarts):
		c.took(noticed, since)
	}
}

// follow waits until every cluster that is there shows the commit. One that goes
// away meanwhile is looked at when it is back.
func (c *committer) follow(ctx context.Context, e expectation, since time.Time) {
	restarts := c.hubRestarts()
	var (
		group     sync.WaitGroup
		mu        sync.Mutex
		concerned int
		disturbed bool
	)
	for _, cluster := range c.clusters {
		away, faults := cluster.fault()
		if away || !e.concerns(cluster) {
			continue
		}
		concerned++
		group.Go(func() {
			text := poll(ctx, 100*time.Millisecond, commitLimit, func(ctx context.Context) string {
				if _, now := cluster.fault(); now != faults {
					return ""
				}
				return cluster.unmet(ctx, []expectation{e})
			})
			_, now := cluster.fault()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ctx.Err() != nil:
			case now != faults || !c.undisturbed(restarts):
				disturbed = true
			case text != "":
				disturbed = true
				c.blame("%s did not catch up with a commit within %s: %s", cluster.name, commitLimit, text)
			default:
				c.took(appliedOne, since)
			}
		})
	}
	group.Wait()
	if concerned > 0 && !disturbed && ctx.Err() == nil {
		c.took(appliedEverywhere, since)
	}
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

func appendTo(file, text string) error {
	return rewrite(file, func(before string) string { return before + text })
}

func rewrite(file string, change func(string) string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(change(string(data))), 0o644)
}

// jitter returns half to one and a half times the gap.
func jitter(r *rand.Rand, gap time.Duration) time.Duration {
	return gap/2 + time.Duration(r.Int64N(int64(gap)))
}
