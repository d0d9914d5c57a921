// Package calling makes a hub's calls to an agent that is connected.
package calling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"nave.dev/internal/hub/asking"
	"nave.dev/internal/protocol"
	"nave.dev/internal/tunnel"
)

// Agent asks an agent, and decodes its answer.
func Agent(ctx context.Context, link *tunnel.Link, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, tunnel.AgentURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := link.Client().Do(request)
	if err != nil {
		return fmt.Errorf("asking the agent: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Refusal(response)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// Question puts a question about the cluster as it is to an agent. The body of the
// answer is the caller's to close.
func Question(ctx context.Context, link *tunnel.Link, question string, form url.Values) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, tunnel.AgentURL+protocol.AskPath+question+"?"+form.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := link.Client().Do(request)
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking the agent: %w", err)
	case response.StatusCode == http.StatusOK:
		return response, nil
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, &asking.RefusedError{Text: fmt.Sprintf("the agent of %s does not know such questions\nhint: it is older than the hub", link.Identity().Cluster)}
	}
	return nil, Refusal(response)
}

// Refusal is why an agent did not answer: a RefusedError if it understood.
func Refusal(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, 16<<10))
	said := strings.TrimSpace(string(text))
	if response.StatusCode == protocol.StatusRefused {
		return &asking.RefusedError{Text: said}
	}
	return fmt.Errorf("the agent answered %s: %s", response.Status, said)
}

// leasePatience is how long an agent may take to say whether it holds its lease.
const leasePatience = 10 * time.Second

// BothHold reports whether two agents both say that they hold the lease of their
// cluster, which are two clusters then. The first is asked once more after the
// second: a lease that one hands over to the other between two questions is held by
// both, and by the first no more.
func BothHold(ctx context.Context, one, other *tunnel.Link) bool {
	for _, link := range []*tunnel.Link{one, other, one} {
		if held, err := holds(ctx, link); err != nil || !held {
			return false
		}
	}
	return true
}

func holds(ctx context.Context, link *tunnel.Link) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, leasePatience, errors.New("no answer within 10s"))
	defer cancel()
	var lease protocol.Lease
	err := Agent(ctx, link, http.MethodGet, protocol.LeasePath, nil, &lease)
	return lease.Held, err
}
