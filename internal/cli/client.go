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

// client speaks with the hub that works in a directory.
type client struct {
	http *http.Client
	dir  string
}

func (s *settings) client() *client {
	dir := s.directory()
	return &client{dir: dir, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", hub.Socket(dir))
		},
	}}}
}

func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://hub"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no hub works in %s\nhint: nave hub starts one; a hub with another --dir or NAVE_DIR is reached with the same", c.dir)
	}
	if err != nil {
		return fmt.Errorf("asking the hub: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return errNobody
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		return errors.New(strings.TrimSpace(string(text)))
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func (c *client) fleet(ctx context.Context) (hub.Fleet, error) {
	var fleet hub.Fleet
	return fleet, c.call(ctx, http.MethodGet, "/api/v1/fleet", nil, &fleet)
}

// events returns events from a number on, and waits for news if told to.
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
