package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"nave.dev/internal/app"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/tree"
)

// Serve renders what arrives on in, one job after the other, until in ends, which is when the parent is gone or needs
// the worker no more. A render that is under way then is left behind: the process is meant to end when Serve returns.
// Nothing else may write to out.
func Serve(in io.Reader, out io.Writer) error {
	type message struct {
		kind    byte
		content []byte
	}
	c := newConn(in, out, math.MaxUint32)
	messages := make(chan message)
	ended := make(chan error, 1)
	go func() {
		for {
			kind, content, err := c.receive()
			if err != nil {
				ended <- err
				return
			}
			messages <- message{kind, content}
		}
	}()
	answers := make(chan []byte)
	finished := make(chan error)
	for {
		select {
		case m := <-messages:
			switch m.kind {
			case msgAnswer:
				answers <- m.content
			case msgJob:
				var job build.Job
				if err := json.Unmarshal(m.content, &job); err != nil {
					return fmt.Errorf("reading a render job: %w", err)
				}
				go func() {
					t := &remote{conn: c, answers: answers, contents: map[string]content{}, kinds: map[string]tree.Kind{}}
					finished <- c.sendJSON(msgDone, outcomeOf(build.Run(t, job)))
				}()
			default:
				return fmt.Errorf("the parent sent message %q", m.kind)
			}
		case err := <-finished:
			if err != nil {
				return fmt.Errorf("sending what was rendered: %w", err)
			}
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading from the parent: %w", err)
		}
	}
}

// remote is the parent's tree. It asks nothing twice.
type remote struct {
	conn     *conn
	answers  chan []byte
	contents map[string]content
	kinds    map[string]tree.Kind
}

type content struct {
	data []byte
	err  error
}

// ask sends a request and waits for its answer. A render asks from one goroutine.
func (r *remote) ask(kind byte, path string) ([]byte, error) {
	if err := r.conn.send(kind, []byte(path)); err != nil {
		return nil, fmt.Errorf("asking for %q: %w", path, err)
	}
	answer := <-r.answers
	switch {
	case len(answer) == 0:
		return nil, fmt.Errorf("asking for %q: empty answer", path)
	case answer[0] == statusAbsent:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case answer[0] == statusError:
		return nil, errors.New(string(answer[1:]))
	}
	return answer[1:], nil
}

// ReadFile implements tree.Tree.
func (r *remote) ReadFile(path string) ([]byte, error) {
	known, ok := r.contents[path]
	if !ok {
		known.data, known.err = r.ask(msgRead, path)
		r.contents[path] = known
	}
	return known.data, known.err
}

// List implements tree.Tree.
func (r *remote) List(path string) ([]tree.Entry, error) {
	data, err := r.ask(msgList, path)
	if err != nil {
		return nil, err
	}
	var entries []tree.Entry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("listing %q: %w", path, err)
	}
	return entries, nil
}

// Stat implements tree.Tree.
func (r *remote) Stat(path string) (tree.Kind, error) {
	if kind, ok := r.kinds[path]; ok {
		return kind, nil
	}
	data, err := r.ask(msgStat, path)
	if err != nil {
		return "", err
	}
	r.kinds[path] = tree.Kind(data)
	return tree.Kind(data), nil
}

// Remote implements tree.Tree.
func (r *remote) Remote(repository, ref string) (string, error) {
	data, err := r.ask(msgRemote, repository+"\n"+ref)
	return string(data), err
}

// Lookup implements build.Cluster.
func (r *remote) Lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	asked, err := json.Marshal(query{apiVersion, kind, namespace, name})
	if err != nil {
		return nil, err
	}
	data, err := r.ask(msgLookup, string(asked))
	if err != nil {
		return nil, err
	}
	var found app.Values
	if err := json.Unmarshal(data, &found); err != nil {
		return nil, fmt.Errorf("reading what was looked up: %w", err)
	}
	return found, nil
}
