package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"nave.dev/internal/hub"
	"nave.dev/internal/hub/socket"
	"nave.dev/internal/people/session"
	"nave.dev/internal/spoke"
)

// errNobody says that an action concerns no cluster that the hub reaches.
var errNobody = errors.New("the hub knows nothing of this kind")

// nobody says what of an action the hub does not have.
func nobody(action hub.Action) error {
	switch {
	case action.Cluster != "":
		return fmt.Errorf("the hub keeps no cluster %q\nhint: nave clusters", action.Cluster)
	case action.Digest != "":
		return fmt.Errorf("no cluster holds a list %q\nhint: nave status shows what is held; a list that changes gets another digest", action.Digest)
	}
	return fmt.Errorf("no cluster has an app %q\nhint: nave apps lists them; one that a push has just brought is known, and synced, when the hub has read the commit: nave wait --revision SHA", action.App)
}

// client speaks with the hub that works in a directory, or with the one that somebody
// has logged in at.
type client struct {
	http    *http.Client
	dir     string
	session session.Session // of a hub over a network
	err     error           // why there is no way to it
}

func (s *settings) client() *client {
	if c := s.remote(); c != nil {
		return c
	}
	dir := s.directory()
	return &client{dir: dir, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket.Path(dir))
		},
	}}}
}

func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

// send asks the hub, and returns an answer that is one.
func (c *client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	data, err := json.Marshal(body)
	if err = errors.Join(c.err, err); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url()+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if c.session.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.session.Token)
	}
	response, err := c.http.Do(request)
	if c.session.Server == "" && (errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)) {
		return nil, fmt.Errorf("no hub works in %s\nhint: nave hub starts one; a hub with another --dir or NAVE_DIR is reached with the same", c.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the hub: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotFound:
		return nil, errNobody
	case response.StatusCode == http.StatusUnauthorized && c.session.Token != "":
		return nil, fmt.Errorf("the login at %s no longer counts\nhint: nave login %s", c.session.Server, c.session.Server)
	}
	text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return nil, errors.New(strings.TrimSpace(string(text)))
}

// fleet returns the whole fleet, with those apps of its clusters that are asked for.
func (c *client) fleet(ctx context.Context, apps string) (hub.Fleet, error) {
	return c.pages(ctx, url.Values{"apps": {apps}})
}

// cluster returns the fleet with one of its clusters, or none if there is none such.
func (c *client) cluster(ctx context.Context, name string) (hub.Fleet, error) {
	return c.pages(ctx, url.Values{"cluster": {name}})
}

// pages asks for pages of the fleet until these are all.
func (c *client) pages(ctx context.Context, query url.Values) (hub.Fleet, error) {
	clusters := []hub.Cluster{}
	for {
		var page hub.Fleet
		if err := c.call(ctx, http.MethodGet, "/api/v1/fleet?"+query.Encode(), nil, &page); err != nil {
			return page, err
		}
		clusters = append(clusters, page.Clusters...)
		if page.Next == "" {
			page.Clusters = clusters
			return page, nil
		}
		query.Set("after", page.Next)
	}
}

// events returns a page of events from a number on, and waits for news if told to.
func (c *client) events(ctx context.Context, from int64, wait time.Duration) (hub.Events, error) {
	var events hub.Events
	path := fmt.Sprintf("/api/v1/events?from=%d&wait=%s", from, wait)
	return events, c.call(ctx, http.MethodGet, path, nil, &events)
}

// diff returns what syncs would change on a cluster.
func (c *client) diff(ctx context.Context, cluster, app string) ([]spoke.AppDiff, error) {
	diffs := []spoke.AppDiff{}
	path := "/api/v1/diff?" + url.Values{"cluster": {cluster}, "app": {app}}.Encode()
	return diffs, c.call(ctx, http.MethodGet, path, nil, &diffs)
}

// orphans returns the orphans of a cluster, or of all.
func (c *client) orphans(ctx context.Context, cluster string) (hub.Orphans, error) {
	var found hub.Orphans
	return found, c.call(ctx, http.MethodGet, "/api/v1/orphans?"+url.Values{"cluster": {cluster}}.Encode(), nil, &found)
}

// act has the hub do something and reports on which clusters it could not.
func (c *client) act(ctx context.Context, out io.Writer, path string, action hub.Action, done string) error {
	action.Actor = actor()
	var outcome hub.Outcome
	err := c.call(ctx, http.MethodPost, path, action, &outcome)
	if errors.Is(err, errNobody) {
		return nobody(action)
	}
	if err != nil {
		return err
	}
	failed := 0
	for _, cluster := range slices.Sorted(maps.Keys(outcome)) {
		if outcome[cluster] != "" {
			failed++
			fmt.Fprintf(out, "%s: %s\n", cluster, outcome[cluster])
			continue
		}
		fmt.Fprintf(out, "%s: %s\n", cluster, done)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %s could not", failed, count(len(outcome), "cluster"))
	}
	return nil
}
