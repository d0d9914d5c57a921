// Package worker runs renders in processes of their own, because templates cannot be stopped from within. The main
// type is Pool, the side that starts, watches and kills workers; Serve is the other side, which a worker process runs.
// A worker has no credentials, reads files only by asking its parent, and is used again for the next render. What a
// render means is not this package's concern.
package worker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"nave.dev/internal/app"
	"nave.dev/internal/render/build"
	"nave.dev/internal/render/manifest"
	"nave.dev/internal/render/tree"
)

// A message is a byte that says what it is, four bytes of length, most significant first, and the content.
const (
	msgJob    = 'J' // parent: render this build.Job
	msgAnswer = 'A' // parent: what was asked for, after a status byte
	msgRead   = 'R' // worker: wants the content of a path
	msgList   = 'L' // worker: wants the entries of a path, as JSON
	msgStat   = 'S' // worker: wants the kind of a path
	msgRemote = 'G' // worker: wants the directory of another repository, as a reference
	msgLookup = 'K' // worker: wants an object of the cluster, as JSON
	msgDone   = 'D' // worker: the outcome, as JSON
)

// The status byte of an answer.
const (
	statusOK = iota
	statusAbsent
	statusError
)

// outcome is what came of a job.
type outcome struct {
	Output   *build.Output     `json:"output,omitempty"`
	Facts    []build.Fact      `json:"facts,omitempty"`
	Problems manifest.Problems `json:"problems,omitempty"`
	Error    string            `json:"error,omitempty"` // where it is no problem of the app's files
}

// outcomeOf packs what build.Run returned.
func outcomeOf(out *build.Output, facts []build.Fact, err error) outcome {
	o := outcome{Output: out, Facts: facts}
	var problem manifest.Problem
	switch {
	case err == nil:
	case errors.As(err, &o.Problems):
	case errors.As(err, &problem):
		o.Problems = manifest.Problems{problem}
	default:
		o.Error = err.Error()
	}
	return o
}

// unpack is the reverse of outcomeOf.
func (o outcome) unpack() (*build.Output, []build.Fact, error) {
	switch {
	case len(o.Problems) > 0:
		return nil, o.Facts, o.Problems
	case o.Error != "":
		return nil, o.Facts, errors.New(o.Error)
	case o.Output == nil:
		return nil, o.Facts, errors.New("the worker gave no outcome")
	}
	return o.Output, o.Facts, nil
}

// conn sends and receives messages.
type conn struct {
	in  *bufio.Reader
	mu  sync.Mutex // of out: the other side may answer, and so start the next sender, before a sender has returned
	out *bufio.Writer
	max uint32 // length of a message that is accepted
}

func newConn(in io.Reader, out io.Writer, max uint32) *conn {
	return &conn{in: bufio.NewReaderSize(in, 64<<10), out: bufio.NewWriterSize(out, 64<<10), max: max}
}

func (c *conn) send(kind byte, parts ...[]byte) error {
	length := 0
	for _, part := range parts {
		length += len(part)
	}
	if uint64(length) > uint64(c.max) {
		return fmt.Errorf("message of %d MiB is too long", length>>20)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.WriteByte(kind) // errors of a bufio.Writer stay, and Flush returns them
	c.out.Write(binary.BigEndian.AppendUint32(nil, uint32(length)))
	for _, part := range parts {
		c.out.Write(part)
	}
	return c.out.Flush()
}

func (c *conn) receive() (kind byte, content []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > c.max {
		return 0, nil, fmt.Errorf("message of %d MiB is too long", length>>20)
	}
	var b bytes.Buffer // grows with what arrives, not with what is announced
	if _, err := io.CopyN(&b, c.in, int64(length)); err != nil {
		return 0, nil, err
	}
	return head[0], b.Bytes(), nil
}

func (c *conn) sendJSON(kind byte, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return c.send(kind, data)
}

// query is what a template looks up.
type query struct{ APIVersion, Kind, Namespace, Name string }

// lookUp answers what a template looks up, if the tree can.
func lookUp(t tree.Tree, asked string) ([]byte, error) {
	cluster, ok := t.(build.Cluster)
	if !ok {
		return nil, errors.New("there is no cluster to look up objects of")
	}
	var q query
	if err := json.Unmarshal([]byte(asked), &q); err != nil {
		return nil, fmt.Errorf("reading what a template looks up: %w", err)
	}
	found, err := cluster.Lookup(q.APIVersion, q.Kind, q.Namespace, q.Name)
	if err != nil {
		return nil, errors.New(err.Error()) // and no absence, whatever it wraps
	}
	return json.Marshal(app.Values(found))
}

// answer asks the tree what a worker wants to know, and sends the answer.
func (c *conn) answer(t tree.Tree, kind byte, path string) error {
	var data []byte
	var err error
	switch kind {
	case msgRead:
		data, err = t.ReadFile(path)
	case msgList:
		var entries []tree.Entry
		if entries, err = t.List(path); err == nil {
			data, err = json.Marshal(entries)
		}
	case msgStat:
		var at tree.Kind
		at, err = t.Stat(path)
		data = []byte(at)
	case msgLookup:
		data, err = lookUp(t, path)
	case msgRemote:
		var dir string
		repository, ref, _ := strings.Cut(path, "\n")
		if dir, err = t.Remote(repository, ref); err != nil {
			err = errors.New(err.Error()) // a refusal is no absence, whatever it wraps
		}
		data = []byte(dir)
	default:
		return fmt.Errorf("a worker sent message %q", kind)
	}
	status := byte(statusOK)
	if err != nil {
		status, data = statusError, []byte(err.Error())
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			status = statusAbsent
		}
	}
	return c.send(msgAnswer, []byte{status}, data)
}
